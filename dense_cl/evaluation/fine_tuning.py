"""Many-shot classification with everything trained: the fine-tuning protocol.

"How Well Do Self-Supervised Models Transfer?" (arXiv 2011.13377), after ``finetune.py`` of
linusericsson/ssl-transfer: a linear layer on the pooled vector; SGD with Nesterov momentum 0.9 and
a cosine to 0 over 5,000 steps of 64 images; random resized crops (bicubic) and flips; learning
rate and weight decay from a grid of 4 x 5 by validation; then once more, on training and
validation images, for the test. Batch normalisation is trained with the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dense_cl.errors import DenseCLError, nearest
from dense_cl.evaluation.class_scores import METRICS
from dense_cl.evaluation.classifier_training import (
    BATCH,
    DivergedError,
    Recipe,
    fine_tune,
    predict,
)
from dense_cl.evaluation.feature_store import FeatureStore, request
from dense_cl.evaluation.frozen import open_backbone
from dense_cl.evaluation.image_sets import Splits, facts
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.evaluation.many_shot import MAP, label_records
from dense_cl.evaluation.pictures import Pictures
from dense_cl.evaluation.results import make_result

RATES = (1e-1, 1e-2, 1e-3, 1e-4)
# Divided by the learning rate: the authors' grid is over the product of the two.
DECAYS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3)


def evaluate_fine_tuning(
    backbone: str | Path | nn.Module,
    splits: Splits,
    metric: str = "top-1",
    recipe: Recipe = Recipe(),  # noqa: B008  (frozen)
    rates: Sequence[float] = RATES,
    decays: Sequence[float] = DECAYS,
    progress: Callable[[str], None] = lambda line: None,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Fine-tune on ``splits`` and score the test images once.

    Args:
        backbone: exported file, ``random``, ``random:ARCH``, ``FILE:ARCH``, or a module, of which a
            copy is trained.
        splits: labelled images; with classes joined by ``+`` for ``11-point mAP``.
        metric: name in ``METRICS``; it also chooses the settings.
        recipe: length, size and seed.
        rates: learning rates to choose from.
        decays: weight decay times learning rate, to choose from.
        progress: called with a line of text after each setting, and every half a minute.
        cache: folder for the score of each setting, so that a run that is killed goes on with the
            next; None for none.

    Returns:
        A result like that of ``evaluate_many_shot``; ``val`` by "rate, decay".

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    if metric not in METRICS:
        raise DenseCLError(f"metric '{metric}' is not known.{nearest(metric, METRICS)}")
    name, frozen = open_backbone(backbone, recipe.seed)
    targets, classes = splits.targets(multi_label=metric == MAP)
    progress("reading all images once, so that none fails later")
    for images in splits.by_name().values():
        for index in range(len(images)):
            images.source.load(index)
    grid = [(rate, decay / rate) for rate in rates for decay in decays]
    wanted = _wanted(splits, metric, recipe) if cache else {}

    def validation(rate: float, decay: float) -> float | None:
        store = None
        if cache:
            store = FeatureStore(cache, request(frozen, wanted | {"rate": rate, "decay": decay}))
            if (kept := store.read(0)) is not None:
                progress(f"rate {rate:g}, decay {decay:g}: kept from before")
                return float(kept[0]) if np.isfinite(kept[0]) else None
        try:
            progress(f"rate {rate:g}, decay {decay:g}: {recipe.steps} steps")
            tuned = fine_tune(
                frozen, splits.train, targets["training"], classes, rate, decay, recipe, progress
            )
            logits = predict(tuned, splits.val, recipe)
            if not logits.isfinite().all():  # by its last step, or by statistics that overflow
                raise DivergedError(f"rate {rate:g}, decay {decay:g} diverged; it is left out.")
            score = METRICS[metric](logits, targets["validation"])
            progress(f"rate {rate:g}, decay {decay:g}: {100 * score:.1f} on validation")
        except DivergedError as error:  # the other settings still count
            progress(str(error))
            score = None
        if store:
            store.write(0, [np.array(np.nan if score is None else score)])
        return score

    val: dict[tuple[float, float], float] = {}
    if len(grid) > 1:
        for rate, decay in grid:
            if (score := validation(rate, decay)) is not None:
                val[rate, decay] = score
        if not val:
            raise DivergedError(f"all {len(grid)} fine-tunings diverged; try smaller --rates.")
    chosen = max(val or grid, key=lambda pair: val.get(pair, 0.0))
    both = LabelledImages.joined([splits.train, splits.val])
    labels = torch.cat([targets["training"], targets["validation"]])
    progress(f"rate {chosen[0]:g}, decay {chosen[1]:g}: training and validation images together")
    tuned = fine_tune(frozen, both, labels, classes, *chosen, recipe, progress)
    logits = predict(tuned, splits.test, recipe)
    scores, records = label_records(logits, targets["test"], splits.test, metric)
    return make_result(
        "fine-tuning",
        name,
        recipe.seed,
        scores,
        records,
        {
            "size": recipe.size,
            "metric": metric,
            "rates": list(rates),
            "decays": list(decays),
            "steps": recipe.steps,
            "batch": BATCH,
            "classes": classes,
            **facts(splits.by_name()),
        },
        metric=metric,
        score=METRICS[metric](logits, targets["test"]),
        val={f"{rate:g}, {decay:g}": value for (rate, decay), value in val.items()},
        fit={"rate": chosen[0], "decay": chosen[1]},
        **frozen.facts(),
    )


def _wanted(splits: Splits, metric: str, recipe: Recipe) -> dict[str, Any]:
    """Return all that decides a score on validation, but for backbone, rate and decay."""
    size = (recipe.size, recipe.size)
    decisive = {key: value for key, value in asdict(recipe).items() if key != "workers"}
    return {"task": "fine-tuning", "metric": metric, "recipe": decisive} | {
        what: {"classes": images.identity(), **Pictures(images.source, "square", size).facts()}
        for what, images in splits.by_name().items()
        if what != "test"
    }
