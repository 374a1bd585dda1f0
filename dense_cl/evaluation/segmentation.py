"""Frozen linear segmentation: how much of a scene's layout a backbone's features tell linearly.

Protocol: photos are resized to one size, the frozen backbone gives its last stage (or the chosen
ones), a linear classifier with bilinear upsampling is fitted to the training masks
(``linear_probe``), and its predictions, upsampled to the size of each mask, are scored by mean
IoU over all pixels that are not void.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.data_identity import check_disjoint
from dense_cl.evaluation.examples import draw_segmentations
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import open_backbone
from dense_cl.evaluation.linear_fit import LinearFit, best_fit, check_penalties
from dense_cl.evaluation.linear_probe import fit_maps, pixel_logits
from dense_cl.evaluation.mask_folders import MaskFolders, check_sets
from dense_cl.evaluation.pixel_counts import PixelCounts, iou_by_class, plain_scores
from dense_cl.evaluation.results import make_result

# Pixels of the resized photo along each side of a label cell. Finer cells give the same classifier
# (CamVid: 8, 4 and 2 pixels agree within 0.1 mIoU) at four times the cost per halving.
CELL = 8
L2 = 1e-3

Progress = Callable[[str], None]


def evaluate_segmentation(
    backbone: str | Path | torch.nn.Module,
    train: MaskFolders,
    test: MaskFolders,
    val: MaskFolders | None = None,
    size: tuple[int, int] = (240, 320),
    stages: Sequence[int] = (-1,),
    l2: Sequence[float] = (L2,),
    seed: int = 0,
    classes: Sequence[str] = (),
    progress: Progress = lambda message: None,
    extraction: Extraction | None = None,
    pictures: str | Path | None = None,
) -> dict[str, Any]:
    """Fit the probe on ``train``, choose its penalty on ``val``, and score it on ``test`` once.

    Args:
        backbone: exported file, ``random[:ARCH]``, or a module returning a tuple of stage maps.
        train: photos and masks the classifier is fitted to.
        test: photos and masks it is scored on.
        val: chooses among several penalties; not needed for one.
        size: (height, width) the photos are resized to.
        stages: indices of the stages used; -1 is the last.
        l2: penalties to choose from (see ``fit_maps``).
        seed: of a random backbone; nothing else is random.
        classes: names for the result, in the order of the mask values.
        progress: called with a line of text at each step.
        extraction: cache and workers for the features; its progress is that of the features.
        pictures: folder for some predictions; records name them relative to its parent.

    Returns:
        A result (see ``results``) with confusion matrices in its records; ``mean_iou``,
        ``pixel_accuracy`` and ``mean_class_accuracy`` also at its top, and ``iou`` by class (None
        where a class never occurs), ``val`` by penalty and ``fit``. Scores are in [0, 1].

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    check_penalties(l2)
    if len(l2) > 1 and val is None:
        raise DenseCLError(
            f"{len(l2)} penalties were given ({', '.join(map(str, l2))}) but no validation images "
            "to choose with. Give --val-images and --val-masks, or a single --l2."
        )
    name, frozen = open_backbone(backbone, seed)
    options = extraction or Extraction(progress=progress)
    sets = {"training": train, "test": test} | ({"validation": val} if val is not None else {})
    check_disjoint({what: folders.files() for what, folders in sets.items()})
    check_sets(sets, progress)
    maps = {
        what: options.maps(frozen, folders.pictures(size), stages, what)
        for what, folders in sets.items()
        if what != "validation" or len(l2) > 1
    }
    grid = max(1, size[0] // CELL), max(1, size[1] // CELL)

    def validation(fit: LinearFit) -> float:
        assert val is not None
        return PixelCounts.of(val, predictor(fit, maps["validation"])).scores().mean_iou

    labels = (train.labels(index) for index in range(len(train)))
    fit, val_scores = best_fit(
        fit_maps(maps["training"], labels, train.num_classes, l2, grid),
        l2,
        validation if len(l2) > 1 else None,
        progress,
    )
    predict = predictor(fit, maps["test"])
    counts = PixelCounts.of(test, predict)
    scores = counts.scores()
    return make_result(
        "segmentation",
        name,
        seed,
        plain_scores(scores),
        draw_segmentations(counts.records(), test, predict, pictures),
        {
            "size": list(size),
            "stages": list(stages),
            "grid": list(grid),
            "l2": list(l2),
            "classes": train.num_classes,
            "images": {"train": len(train), "val": len(val) if val else 0, "test": len(test)},
            "data": {what: folders.identity() for what, folders in sets.items()},
            "ignore": sorted(train.ignore),
        },
        **plain_scores(scores),
        iou=iou_by_class(scores, classes),
        val={f"{strength:g}": value for strength, value in val_scores.items()},
        fit={
            "l2": fit.l2,
            "loss": fit.loss,
            "gradient": fit.gradient,
            "converged": fit.converged,
            "evaluations": fit.evaluations,
        },
        **frozen.facts(),
    )


def predictor(fit: LinearFit, maps: Sequence[Tensor]) -> Callable[[int, tuple[int, int]], Tensor]:
    """Return what predicts the classes of a photo by its index, at the size of its mask.

    Args:
        fit: of ``fit_maps``.
        maps: its input stages, (N, C_s, h_s, w_s) each.
    """

    def predict(index: int, size: tuple[int, int]) -> Tensor:
        logits_KHW = pixel_logits(fit, [m[index : index + 1] for m in maps], size)[0]
        return logits_KHW.max(dim=0).indices  # five times as fast as argmax across planes

    return predict
