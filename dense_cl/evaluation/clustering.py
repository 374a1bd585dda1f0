"""Segmentation without labels: patches are clustered, clusters are named, names are scored.

Features of the photos that are scored are L2-normalised and clustered by spherical k-means, once
with as many clusters as there are classes, matched one to one (Hungarian, by IoU), and for
over-clustering with more, each named after the class most of its pixels have. Naming uses the
masks it is scored on, so this says what the clusters could mean, not what a system would score.
The protocol of MkuuWaUjinga/leopart (arXiv 2204.13101), but for their reduction of the features
by PCA, and with masks at full size.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.cluster_matching import hungarian, many_to_one, merge_clusters
from dense_cl.evaluation.confusion import segmentation_scores
from dense_cl.evaluation.examples import draw_segmentations
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import open_backbone
from dense_cl.evaluation.kmeans import best_clustering
from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.evaluation.pixel_counts import PixelCounts, plain_scores
from dense_cl.evaluation.results import make_result

RESTARTS, ITERATIONS = 5, 50


def evaluate_clustering(
    backbone: str | Path | torch.nn.Module,
    photos: MaskFolders,
    clusters: Sequence[int] = (),
    size: tuple[int, int] = (240, 320),
    stage: int = -1,
    seed: int = 0,
    extraction: Extraction | None = None,
    pictures: str | Path | None = None,
) -> dict[str, Any]:
    """Cluster the patches of ``photos`` and score the clusters against their masks.

    Args:
        backbone: exported file, ``random``, ``random:ARCH``, ``FILE:ARCH``, or a module.
        photos: what is clustered and scored.
        clusters: numbers of clusters for over-clustering, each more than there are classes.
        size: (height, width) the photos are resized to.
        stage: whose cells are the patches; -1 is the last.
        seed: of the first centroids, and of a random backbone.
        extraction: cache, workers and progress.
        pictures: folder for some predictions; records name them relative to its parent.

    Returns:
        A result (see ``results``). Its scores and records are of the one-to-one matching; each
        number N of clusters has its scores under ``over_N``, without records.

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    few = [number for number in clusters if number <= photos.num_classes]
    if few:
        raise DenseCLError(
            f"{few[0]} clusters are no more than the {photos.num_classes} classes; over-clustering "
            "needs more. As many as classes are always scored."
        )
    name, frozen = open_backbone(backbone, seed)
    options = extraction or Extraction()
    options.progress(f"checking {len(photos)} masks")
    photos.check()
    (maps,) = options.maps(frozen, photos.pictures(size), [stage], "clustered")
    points = F.normalize(maps.transpose(0, 1).flatten(1).T, dim=1)
    largest = max([photos.num_classes, *clusters])
    if largest > len(points):
        raise DenseCLError(
            f"{largest} clusters of {len(points)} patches cannot be made; give more photos, a "
            "larger --size or an earlier --stage."
        )

    def count(number: int) -> tuple[Tensor, PixelCounts]:
        options.progress(f"{number} clusters of {len(points)} patches")
        clusters_M = best_clustering(points, number, seed, RESTARTS, ITERATIONS)
        cells = clusters_M.reshape(len(maps), *maps.shape[2:])
        return cells, PixelCounts.of(photos, partial(_enlarged, cells), number)

    cells, matched = count(photos.num_classes)
    classes_C = hungarian(matched.total)
    matched = matched.merged(partial(merge_clusters, classes_C=classes_C))
    scores: dict[str, Any] = {**plain_scores(matched.scores())}
    for number in clusters:
        _, counts = count(number)
        named = merge_clusters(counts.total, many_to_one(counts.total))
        scores[f"over_{number}"] = plain_scores(segmentation_scores(named))
    return make_result(
        "clustering",
        name,
        seed,
        scores,
        draw_segmentations(
            matched.records(), photos, partial(_enlarged, classes_C[cells]), pictures
        ),
        {
            "size": list(size),
            "stage": stage,
            "classes": photos.num_classes,
            "images": len(photos),
            "data": photos.identity(),
            "ignore": sorted(photos.ignore),
            "restarts": RESTARTS,
            "iterations": ITERATIONS,
        },
        **frozen.facts(),
    )


def _enlarged(cells_NHW: Tensor, index: int, size: tuple[int, int]) -> Tensor:
    """Return the numbers of a photo's cells at (h, w), each pixel that of its cell."""
    cells = cells_NHW[index][None, None].float()  # exact up to 2^24
    return F.interpolate(cells, size=size, mode="nearest-exact")[0, 0].long()
