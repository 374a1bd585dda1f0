"""What a recipe's objectives will see, drawn: views, regions, correspondences, features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from dense_cl.engine.config import apply_options, load_config
from dense_cl.engine.config_check import check_config
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.models.correspondence import CorrespondenceProvider, GeometricNearest
from dense_cl.models.features import ViewFeatures
from dense_cl.models.learner import Learner, require_regions
from dense_cl.objectives.base import Objective
from dense_cl.registry import DATASETS, MODELS
from dense_cl.report.draw import Picture, draw_correspondences, tile
from dense_cl.report.draw_views import (
    draw_boxes,
    draw_label_map,
    draw_outlines,
    enlarged,
    fitted,
    framed,
    principal_colours,
)
from dense_cl.sources.selection import evenly_spread
from dense_cl.transfer.learner_file import load_learner
from dense_cl.views.batch import ViewBatch
from dense_cl.views.collate import collate_views
from dense_cl.views.dataset import Sample, ViewDataset
from dense_cl.views.geometry import ViewGeometry, grid_centres

BEFORE, AFTER = "before training", "after training"
HEIGHT = 240


@dataclass(frozen=True)
class Drawing:
    """A picture and the numbers that belong to it.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        facts: JSON-like.
    """

    picture: Picture
    facts: dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """Views of some images, as the first epoch of a run makes them.

    Attributes:
        config: the recipe.
        dataset: what makes the views.
        indices: of the images in the data set.
        names: of the images.
        sources: the images, (H, W, 3) uint8 RGB.
        views: one batch per view, images as collated, (B, H, W, 3) uint8.
        places: the geometry of each view, by image; those of the batch do not know what is filled.
    """

    config: Config
    dataset: ViewDataset
    indices: list[int]
    names: list[str]
    sources: list[NDArray[np.uint8]]
    views: list[ViewBatch]
    places: list[list[ViewGeometry]]


def load_views(
    config: str | Path | Config,
    data: str | Path | None = None,
    annotations: str | Path | None = None,
    images: int = 4,
    cfg_options: Mapping[str, Any] | None = None,
) -> Seen:
    """Make the views of images that are evenly spread over the data.

    Args:
        config: recipe.
        data: images instead of the recipe's.
        annotations: COCO JSON that says which images of the folder ``data`` to use.
        images: how many; unreadable ones are left out.
        cfg_options: changes to the recipe, {"dotted.key": value}.

    Raises:
        DenseCLError: wrong input, a stream, or not one readable image.
    """
    cfg = load_config(config)
    apply_options(cfg, data, annotations, cfg_options=dict(cfg_options or {}))
    check_config(cfg)
    dataset = DATASETS.build(
        dict(cfg.train_dataloader.dataset, seed=cfg.randomness.get("seed") or 0)
    )
    if not isinstance(dataset, ViewDataset):
        raise DenseCLError("a stream cannot be looked into by index: give a folder of its images.")
    if images < 1:
        raise DenseCLError(f"--images {images}: give 1 or more.")
    chosen = evenly_spread(len(dataset), images)
    samples = [s for s in (dataset[0, index] for index in chosen) if isinstance(s, Sample)]
    if not samples:
        raise DenseCLError(f"none of {len(chosen)} images can be read; see dense-cl doctor.")
    indices, names = [sample.index for sample in samples], [sample.name for sample in samples]
    sources = [dataset.source.load(index) for index in indices]
    places = [[view.geometry for view in sample.views] for sample in samples]
    return Seen(cfg, dataset, indices, names, sources, collate_views(samples)["views"], places)


def show_views(seen: Seen) -> Drawing:
    """Draw the outlines of all views in their sources, beside the views.

    A view of another image (of ORL's pairs) has no outline here, and no overlap (None).
    """
    places = seen.places
    here = [not view.other_image for view in seen.views]
    rows, facts = [], []
    for row, (name, source) in enumerate(zip(seen.names, seen.sources, strict=True)):
        small, scale = fitted(source, HEIGHT)
        outlines = {v: p.outline() * scale for v, p in enumerate(places[row]) if here[v]}
        outlined = draw_outlines(small, list(outlines.values()), list(outlines))
        shown = [fitted(view.image[row].numpy(), HEIGHT)[0] for view in seen.views]
        rows.append([outlined, *(framed(picture, v) for v, picture in enumerate(shown))])
        first, *others = places[row]
        areas = [place.overlap_area(place) for place in places[row]]  # without what is filled
        facts.append(
            {
                "image": name,
                "share_of_source": [
                    round(float(area / np.prod(place.source_size)), 3)
                    for area, place in zip(areas, places[row], strict=True)
                ],
                "overlap_of_smaller_with_view_0": [
                    round(first.overlap_area(other) / float(min(areas[0], area)), 3)
                    if own
                    else None
                    for other, area, own in zip(others, areas[1:], here[1:], strict=True)
                ],
            }
        )
    titles = ["source", *(f"view {v}" for v in range(len(seen.views)))]
    return Drawing(tile(rows, titles), {"images": facts})


def show_regions(seen: Seen) -> Drawing:
    """Shade or frame the regions on every view; a region has one colour in all views of its image.

    Raises:
        DenseCLError: the recipe's data have no regions.
    """
    if any(view.regions is None for view in seen.views):
        raise DenseCLError(
            "the views have no regions: set train_dataloader.dataset.regions (docs/regions.md). An"
            " ObjectPairDataset gives its regions to 'dense-cl mine' only."
        )
    rows, facts = [], []
    rates: list[float] = []
    for row, name in enumerate(seen.names):
        ids = [_visible_ids(view, row) for view in seen.views]
        rows.append([_with_regions(view, row) for view in seen.views])
        # Of the regions of a view, those that no other view shows.
        dropped = [
            round(1 - len(found & _union(ids, v)) / len(found), 3) if found else None
            for v, found in enumerate(ids)
        ]
        rates += [rate for rate in dropped if rate is not None]
        regions = [len(found) for found in ids]
        facts.append({"image": name, "regions_in_view": regions, "drop_rate": dropped})
    mean = round(float(np.mean(rates)), 3) if rates else None
    titles = [f"view {v}" for v in range(len(seen.views))]
    return Drawing(tile(rows, titles), {"mean_drop_rate": mean, "images": facts})


def _visible_ids(view: ViewBatch, row: int) -> set[int]:
    assert view.regions is not None
    found: set[int] = set()
    if view.regions.label_map is not None:
        found |= set(view.regions.label_map[row].unique().tolist()) - {-1}
    if view.regions.visible is not None:
        found |= set(view.regions.visible[row].nonzero()[:, 0].tolist())
    return found


def _union(ids: Sequence[set[int]], without: int) -> set[int]:
    return set().union(*(found for v, found in enumerate(ids) if v != without))


def _with_regions(view: ViewBatch, row: int) -> Picture:
    assert view.regions is not None
    picture = view.image[row].numpy()
    if view.regions.label_map is not None:
        picture = draw_label_map(picture, view.regions.label_map[row].numpy())
    if view.regions.boxes is not None and view.regions.visible is not None:
        shown = view.regions.visible[row].nonzero()[:, 0]
        picture = draw_boxes(picture, view.regions.boxes[row, shown].numpy(), shown.tolist())
    return framed(picture, 0)


def backbones(config: Config, file: str | Path | None, seed: int) -> dict[str, FrozenBackbone]:
    """Return the recipe's backbone before training, and ``file`` if there is one."""
    found = {BEFORE: FrozenBackbone.wrap(_untrained(config, seed).backbone)}
    if file is not None:
        found[AFTER] = FrozenBackbone.load(file, seed)
    return found


def _untrained(config: Config, seed: int) -> Learner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner: Learner = MODELS.build(config.model)
    return learner.eval()


@torch.no_grad()
def show_correspondences(seen: Seen, file: str | Path | None = None, seed: int = 0) -> Drawing:
    """Draw what every provider of the recipe matches between the first two views.

    All pairs that count, between the cells of the map that the objective matches. Green lines
    end less than a cell (of the view whose cells are larger) from the place they start from; those
    from a place that the other view does not show cannot.

    Args:
        seen: the views.
        file: weights, for a second picture after training. For an objective that matches its
            head's projections, a checkpoint of its training.
        seed: of the weights before training.

    Raises:
        DenseCLError: views of different sizes, or fewer than two; a file without a head that is
            needed.
    """
    if len(seen.views) < 2 or seen.views[0].view_size != seen.views[1].view_size:
        raise DenseCLError("correspondences are drawn between two views of the same size.")
    left, right = seen.views[:2]
    columns: list[list[Picture]] = []
    facts: dict[str, Any] = {}
    titles = []
    objectives = dict(_untrained(seen.config, seed).named_objectives())
    for when, backbone in backbones(seen.config, file, seed).items():
        stages = [backbone.stages(view.image) for view in (left, right)]
        if when == AFTER and file is not None:
            objectives |= _trained(objectives, file)
        for name, (provider, objective) in _providers(objectives).items():
            features = [
                objective.matched(ViewFeatures(maps, view))
                for maps, view in zip(stages, (left, right), strict=True)
            ]
            require_regions(name, provider.regions, (left, right))
            pooled = getattr(getattr(objective, "head", None), "grid_size", None)
            pictures, fact = _matches(provider, features[0], features[1], seen.places, pooled)
            columns.append(pictures)
            facts[f"{name}, {when}"] = fact
            titles.append(f"{name}, {when}: {fact['right']} of {fact['matched']} right")
    rows = list(zip(*columns, strict=True))
    return Drawing(tile(rows, titles), {"images": seen.names, "providers": facts})


def _trained(objectives: Mapping[str, Objective], file: str | Path) -> dict[str, Objective]:
    """Return the objectives that match projections, as a checkpoint has them."""
    projecting = [name for name, objective in objectives.items() if objective.matches_projections]
    if not projecting:
        return {}
    trained = dict(load_learner(file).learner.eval().named_objectives())
    missing = [name for name in projecting if name not in trained]
    if missing:
        raise DenseCLError(
            f"'{file}' was trained without {missing[0]}, whose projections are matched: give a"
            " checkpoint of this recipe."
        )
    return {name: trained[name] for name in projecting}


def _providers(
    objectives: Mapping[str, Objective],
) -> dict[str, tuple[CorrespondenceProvider, Objective]]:
    """Return every provider with its objective; without any the geometry itself."""
    found: dict[str, tuple[CorrespondenceProvider, Objective]] = {}
    for name, objective in objectives.items():
        for module in objective.modules():
            if isinstance(module, CorrespondenceProvider):
                found[f"{name}: {module!r}".removesuffix("()")] = module, objective
    return found or {"not of the recipe: GeometricNearest": (GeometricNearest(), Objective())}


def _matches(
    provider: CorrespondenceProvider,
    query: ViewFeatures,
    key: ViewFeatures,
    places: Sequence[Sequence[ViewGeometry]],
    side: int | None,
) -> tuple[list[Picture], dict[str, int]]:
    height, width = (side, side) if side else query.last.shape[2:]
    grid = (int(height), int(width))
    centres = grid_centres(query.view.view_size, grid)
    pair_BST = provider(query, key, grid, grid).matrix(len(centres)) > 0
    cell = np.array(query.view.view_size[::-1]) / np.array(grid[::-1])
    pictures, matched, right = [], 0, 0
    for row, (here, there, *_) in enumerate(places):
        start, end = pair_BST[row].nonzero().numpy().T
        truth = here.map_points_to(there, centres)
        enlargement = np.sqrt(abs(np.linalg.det(here.relative_to(there).matrix[:, :2])))
        tolerance = cell * max(1.0, float(enlargement))
        near = np.all(np.abs(centres[end] - truth[start]) < tolerance, axis=1)
        point = here.to_source(centres[start])
        correct = near & here.contains(point) & there.contains(point)
        pictures.append(
            draw_correspondences(
                query.view.image[row].numpy(), key.view.image[row].numpy(),
                centres[start], centres[end], truth[start], correct,
            )
        )  # fmt: skip
        matched, right = matched + len(correct), right + int(correct.sum())
    return pictures, {"matched": matched, "right": right}


def show_features(seen: Seen, file: str | Path | None = None, seed: int = 0) -> Drawing:
    """Draw three principal components of a map of features as red, green and blue, by view.

    The maps are the backbone's last two, or its only one.
    Components are those of all views of one size together, so that a colour means the same in all.
    """
    size = seen.views[0].view_size
    views = [view for view in seen.views if view.view_size == size]
    columns = [[view.image[row].numpy() for row in range(len(seen.names))] for view in views]
    titles = [f"view {v}" for v in range(len(views))]
    facts: dict[str, Any] = {}
    for when, backbone in backbones(seen.config, file, seed).items():
        stages = [backbone.stages(view.image) for view in views]
        for stage in range(-min(2, len(stages[0])), 0):
            maps = torch.cat([found[stage] for found in stages]).numpy()
            colours = principal_colours(maps).reshape(
                len(views), len(seen.names), *maps.shape[2:], 3
            )
            columns += [[enlarged(picture, size) for picture in column] for column in colours]
            titles += [f"stage {stage}, {when}"] + [""] * (len(views) - 1)
            facts[f"stage {stage}, {when}"] = {"cells": list(maps.shape[2:])}
    return Drawing(tile(list(zip(*columns, strict=True)), titles), {"stages": facts})
