"""Classification of whole images from frozen, pooled features: nearest neighbours and linear."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.class_scores import top_1
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import open_backbone
from dense_cl.evaluation.image_sets import check_classes, facts
from dense_cl.evaluation.knn import TEMPERATURE, K, knn_predictions
from dense_cl.evaluation.labelled_images import LabelledImages, class_numbers
from dense_cl.evaluation.linear_fit import LinearFit, best_fit, check_penalties
from dense_cl.evaluation.logistic import fit_vectors
from dense_cl.evaluation.pictures import Pictures
from dense_cl.evaluation.results import make_result

L2 = 1e-3


def evaluate_classification(
    backbone: str | Path | torch.nn.Module,
    train: LabelledImages,
    test: LabelledImages,
    val: LabelledImages | None = None,
    size: int = 224,
    l2: Sequence[float] = (L2,),
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
    extraction: Extraction | None = None,
) -> dict[str, Any]:
    """Score the vector that a frozen backbone gives an image: its average last map, or class token.

    Two classifiers learn from ``train``: the weighted vote of the nearest neighbours (fixed
    settings, ``dense_cl.evaluation.knn``) and multinomial logistic regression on standardised
    features, solved to convergence (``dense_cl.evaluation.logistic``).

    Args:
        backbone: exported file, ``random``, ``random:ARCH``, or a module.
        train: labelled images to learn from.
        test: labelled images to score.
        val: to choose among several penalties; needed for more than one.
        size: side of the central squares that are looked at, in pixels.
        l2: penalties of the linear classifier to choose from.
        seed: of a random backbone.
        progress: called with a line of text at each step.
        extraction: cache and workers for the features; its progress is that of the features.

    Returns:
        A result (see ``results``) with ``knn`` and ``linear`` accuracy in [0, 1], also at its top.

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    check_penalties(l2)
    if len(l2) > 1 and val is None:
        raise DenseCLError(
            f"{len(l2)} penalties were given ({', '.join(map(str, l2))}) but no validation images "
            "to choose with. Give --val, or a single --l2."
        )
    sets = {"training": train, "test": test} | ({"validation": val} if val else {})
    check_classes(sets)
    name, frozen = open_backbone(backbone, seed)
    options = extraction or Extraction(progress=progress)
    features = {
        what: options.pooled(frozen, Pictures(images.source, "centre", (size, size)), what)
        for what, images in sets.items()
    }
    numbers = dict(zip(sets, class_numbers(*(s.names for s in sets.values())), strict=True))
    num_classes = int(numbers["training"].max()) + 1
    train_vectors = features["training"], numbers["training"], num_classes

    def validation(fit: LinearFit) -> float:
        return top_1(fit.logits(features["validation"]), numbers["validation"])

    fit, val_scores = best_fit(
        fit_vectors(*train_vectors, l2, standardise=True),
        l2,
        validation if len(l2) > 1 else None,
        progress,
    )
    truth = numbers["test"]
    linear = truth == fit.logits(features["test"]).argmax(dim=1)
    knn = truth == knn_predictions(
        features["training"], numbers["training"], features["test"], num_classes
    )
    scores = {"knn": knn.double().mean().item(), "linear": linear.double().mean().item()}
    rows = zip(range(len(test)), knn.tolist(), linear.tolist(), strict=True)
    return make_result(
        "classification",
        name,
        seed,
        scores,
        [{"image": test.name(i), "knn": int(a), "linear": int(b)} for i, a, b in rows],
        {
            "size": size,
            "classes": num_classes,
            **facts(sets),
            "l2": list(l2),
            "k": K,
            "temperature": TEMPERATURE,
        },
        **scores,
        val={f"{strength:g}": value for strength, value in val_scores.items()},
        fit={"l2": fit.l2, "converged": fit.converged, "loss": fit.loss},
        **frozen.facts(),
    )
