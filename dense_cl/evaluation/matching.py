"""Do features find the same place in another view? Matches against the exact geometry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.models.correspondence import FeatureArgmax
from dense_cl.models.features import ViewFeatures
from dense_cl.sources import FolderSource
from dense_cl.views.batch import ViewBatch
from dense_cl.views.collate import collate_views
from dense_cl.views.dataset import Sample, ViewDataset
from dense_cl.views.geometry import geometries, grid_centres, inside

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Matches:
    """Places of one view, and where features and geometry put them in another view.

    Only places that the other view shows are kept. Positions are (N, 2), x, y in view pixels.

    Attributes:
        start: in the first view, the centre of a cell of the last feature map.
        match: in the second view, the centre of the cell with the most similar feature.
        truth: in the second view, by geometry.
        correct: (N,) the match is less than one cell from the truth, in both directions.
        chance: share of the second view's cells for which that holds, averaged over places: what
            guessing would score.
    """

    start: Array
    match: Array
    truth: Array
    correct: NDArray[np.bool_]
    chance: float


def match_views(backbone: FrozenBackbone, left: ViewBatch, right: ViewBatch) -> list[Matches]:
    """Match the cells of B pairs of views of the same images by their last-stage features.

    The rule is DenseCL's own (``FeatureArgmax``; Wang et al., arXiv 2011.09157, equation 4).
    """
    first = ViewFeatures(backbone.stages(left.image), left)
    second = ViewFeatures(backbone.stages(right.image), right)
    (rows, columns), (key_rows, key_columns) = first.last.shape[2:], second.last.shape[2:]
    matcher = FeatureArgmax()
    indices = matcher(first, second, (rows, columns), (key_rows, key_columns)).indices_BS.numpy()
    start = grid_centres(left.view_size, (rows, columns))
    cells = grid_centres(right.view_size, (key_rows, key_columns))
    cell_size = np.array([right.view_size[1] / key_columns, right.view_size[0] / key_rows])
    found = []
    for chosen, here, there in zip(indices, geometries(left), geometries(right), strict=True):
        truth = here.map_points_to(there, start)
        seen = inside(truth, right.view_size)
        near = np.all(np.abs(cells[None] - truth[:, None]) < cell_size, axis=2)
        found.append(
            Matches(
                start=start[seen],
                match=cells[chosen][seen],
                truth=truth[seen],
                correct=near[np.arange(len(start)), chosen][seen],
                chance=float(near[seen].mean()) if seen.any() else float("nan"),
            )
        )
    return found


def match_rate(matches: Sequence[Matches]) -> tuple[float, float]:
    """Return the share of right matches over all places, and what chance would give."""
    right = np.concatenate([pair.correct for pair in matches])
    counts = np.array([len(pair.correct) for pair in matches])
    chances = np.array([pair.chance for pair in matches])[counts > 0]
    return float(right.mean()), float(np.average(chances, weights=counts[counts > 0]))


@dataclass(frozen=True)
class Comparison:
    """The same places matched by a random and by a pretrained backbone.

    Attributes:
        rates: share of right matches ``before`` and ``after`` pretraining, and by ``chance``, over
            all images; the number of ``places`` and ``images``.
        examples: (first view, second view, before, after) of the first images.
    """

    rates: dict[str, float]
    examples: list[tuple[NDArray[np.uint8], NDArray[np.uint8], Matches, Matches]]


def compare_matches(
    images: str | Path,
    before: str | Path,
    after: str | Path,
    seed: int = 0,
    view_size: int = 192,
    limit: int = 60,
    examples: int = 3,
) -> Comparison:
    """Match two augmented views of each image before and after pretraining.

    The views are crops of 30 to 80 % of the area with colour jitter, and the second one is always
    mirrored: networks pad their borders, so features tell places by their position too, and even a
    random one would find unmirrored ones.

    Args:
        images: folder of photos the backbone has not seen.
        before: backbone, as for ``FrozenBackbone.load``.
        after: the same after training.
        seed: of the views, and of a random backbone.
        view_size: side of the views in pixels; a ResNet has a cell for every 32.
        limit: images used at most.
        examples: pairs to return for drawing.
    """
    jitter = dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)
    group = dict(
        type="ViewGroup",
        count=1,
        size=(view_size, view_size),
        crop=dict(type="RandomResizedCrop", scale=(0.3, 0.8), ratio=(3 / 4, 4 / 3)),
        transforms=[jitter],
    )
    mirrored = dict(group, transforms=[jitter, dict(type="HorizontalFlip", p=1.0)])
    pairs = ViewDataset(FolderSource(root=str(images)), [group, mirrored], seed=seed)
    samples = [pairs[index] for index in range(min(limit, len(pairs)))]
    batch = collate_views([sample for sample in samples if isinstance(sample, Sample)])
    left, right = batch["views"]
    first = match_views(FrozenBackbone.load(before, seed), left, right)
    second = match_views(FrozenBackbone.load(after, seed), left, right)
    rate_before, chance = match_rate(first)
    rate_after, _ = match_rate(second)
    rates = dict(
        before=rate_before,
        after=rate_after,
        chance=chance,
        places=sum(len(pair.correct) for pair in first),
        images=len(first),
    )
    shown = zip(left.image.numpy(), right.image.numpy(), first, second, strict=True)
    return Comparison(rates, list(shown)[:examples])
