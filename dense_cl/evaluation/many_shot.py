"""Many-shot classification: logistic regression on frozen features, penalty chosen on validation.

The protocol of "How Well Do Self-Supervised Models Transfer?" (arXiv 2011.13377), after
``linear.py`` of linusericsson/ssl-transfer: 45 penalties, log-spaced, the first of the best on
validation is taken, and the classifier is fitted again to training and validation images. What
differs: each fit goes on to the minimum (see ``linear_solver``); test is scored once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError, nearest
from dense_cl.evaluation.class_scores import METRICS
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import open_backbone
from dense_cl.evaluation.image_sets import Splits, facts
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.evaluation.linear_fit import LinearFit, best_fit, check_penalties
from dense_cl.evaluation.logistic import fit_path, l2_grid
from dense_cl.evaluation.pictures import Pictures
from dense_cl.evaluation.results import make_result

MAP = "11-point mAP"


def evaluate_many_shot(
    backbone: str | Path | torch.nn.Module,
    splits: Splits,
    metric: str = "top-1",
    size: int = 224,
    penalties: Sequence[float] = (),
    seed: int = 0,
    extraction: Extraction | None = None,
) -> dict[str, Any]:
    """Score the vectors of a frozen backbone by the best linear classifier of them.

    Args:
        backbone: exported file, ``random``, ``random:ARCH``, ``FILE:ARCH``, or a module.
        splits: labelled images; with classes joined by ``+`` for ``11-point mAP``.
        metric: name in ``METRICS``; it also chooses the penalty.
        size: side of the squares that are looked at, in pixels: the largest central ones, resized.
        penalties: to choose from; the 45 of the paper if empty.
        seed: of a random backbone; nothing else is random.
        extraction: cache, workers and progress.

    Returns:
        A result (see ``results``). ``scores``: ``accuracy`` and ``mean_class_accuracy``, or
        ``mean_average_precision``. ``metric`` and ``score``: the one that was asked for. ``val``:
        score by penalty. ``fit``: the final one.

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    if metric not in METRICS:
        raise DenseCLError(f"metric '{metric}' is not known.{nearest(metric, METRICS)}")
    grid = sorted(set(penalties or l2_grid()))
    check_penalties(grid)
    options = extraction or Extraction()
    name, frozen = open_backbone(backbone, seed)
    targets, classes = splits.targets(multi_label=metric == MAP)
    features = {
        what: options.pooled(frozen, Pictures(images.source, "square", (size, size)), what)
        for what, images in splits.by_name().items()
    }
    train = features["training"], targets["training"], classes

    def validation(fit: LinearFit) -> float:
        return METRICS[metric](fit.logits(features["validation"]), targets["validation"])

    best, val = best_fit(fit_path(*train, grid), grid, validation, options.progress)
    both = [torch.cat([x["training"], x["validation"]]) for x in (features, targets)]
    # Down to the chosen penalty in larger steps: a warm start saves time, but decides nothing.
    *_, final = fit_path(both[0], both[1], classes, [l2 for l2 in grid if l2 >= best.l2][::4])
    logits, truth = final.logits(features["test"]), targets["test"]
    scores, records = label_records(logits, truth, splits.test, metric)
    return make_result(
        "many-shot",
        name,
        seed,
        scores,
        records,
        {
            "size": size,
            "metric": metric,
            "classes": classes,
            **facts(splits.by_name()),
            "l2": grid,
        },
        metric=metric,
        score=METRICS[metric](logits, truth),
        val={f"{l2:g}": value for l2, value in val.items()},
        fit={"l2": final.l2, "converged": final.converged, "loss": final.loss},
        **frozen.facts(),
    )


def label_records(
    logits_NK: Tensor, targets: Tensor, images: LabelledImages, metric: str
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return scores, that of ``metric`` first, and records.

    Args:
        logits_NK: of the images.
        targets: (N,) classes, or (N, K) of 0 and 1 for images with several.
        images: whose names the records have.
        metric: name in ``METRICS``: the score that ``dense-cl compare`` compares.
    """
    names = [images.name(index) for index in range(len(images))]
    if targets.dim() == 2:
        rows = zip(names, targets.tolist(), logits_NK.tolist(), strict=True)
        return (
            {"mean_average_precision": METRICS[MAP](logits_NK, targets)},
            [{"image": name, "labels": labels, "logits": logits} for name, labels, logits in rows],
        )
    by_metric = {"top-1": "accuracy", "mean per class": "mean_class_accuracy"}
    scores = {
        by_metric[each]: METRICS[each](logits_NK, targets)
        for each in sorted(by_metric, key=lambda each: each != metric)
    }
    found = zip(names, targets.tolist(), logits_NK.argmax(dim=1).tolist(), strict=True)
    return scores, [
        {"image": name, "accuracy": int(truth == predicted), "confusion": [[truth, predicted, 1]]}
        for name, truth, predicted in found
    ]
