"""When to say that a run goes wrong, and what to say."""

import math
from collections.abc import Mapping

from dense_cl.diagnostics.collapse import chance_level, collapsed_feature_std, collapsed_rank

# "At chance" means within this of ln(K + 1); healthy runs are well below once they have begun.
_CHANCE_MARGIN = 0.02
_COMPLETE = (
    "all images get the same {what} (complete collapse). Usual causes: no predictor, a missing "
    "stop-gradient, a target network without a slow ema_decay, or a learning rate that is too high."
)
_DIMENSIONAL = (
    "the {what} vary in hardly any direction (dimensional collapse). Usual causes: a missing "
    "stop-gradient or predictor behind a normalised head, a learning rate or weight decay that is "
    "too high, augmentations that are too strong, no normalisation in the head (norm='BN')."
)


def readings(terms: Mapping[str, float], queues: Mapping[str, int]) -> dict[str, float]:
    """Return the values that are judged, out of the terms of one iteration.

    Args:
        terms: what the ``Learner`` returned, and ``<space>_std`` and ``<space>_rank`` of
            every space.
        queues: number of negatives by the objective, and so the term, that has a queue of them.

    Returns:
        The spreads as they are; the terms that have a queue as their distance from chance.
    """
    values = {name: value for name, value in terms.items() if name.endswith(("_std", "_rank"))}
    return values | {
        name: abs(terms[name] - chance_level(size))
        for name, size in queues.items()
        if name in terms
    }


def symptoms(
    means: Mapping[str, float], queues: Mapping[str, int], channels: Mapping[str, int], images: int
) -> dict[str, str]:
    """Return what looks wrong, a message by name.

    Args:
        means: of ``readings`` over some iterations.
        queues: as for ``readings``.
        channels: dimension by space, ``feature`` (the backbone's) or ``<objective>_projection``.
        images: of the batch that the ranks were computed from.
    """
    found = {}
    for name, size in queues.items():
        if means.get(name, math.inf) < _CHANCE_MARGIN:
            found[name] = (
                f"{name} sits at ln(K+1) = {chance_level(size):.3f}: the features tell nothing "
                "apart. Check the learning rate (too high or 0), the temperature and the "
                "augmentations."
            )
    for space, width in channels.items():
        what = f"{space.replace('_', ' ')}s"
        std, rank = means.get(f"{space}_std", math.inf), means.get(f"{space}_rank", math.inf)
        low_std, low_rank = collapsed_feature_std(width), collapsed_rank(images, width)
        if std < low_std:  # which brings the rank down, too
            found[f"{space}_std"] = (
                f"{space}_std is {std:.2e}, below {low_std:.2e}: {_COMPLETE.format(what=what)}"
            )
        elif rank < low_rank:
            found[f"{space}_rank"] = (
                f"the effective rank of the {what} of {images} images is {rank:.1f}, below "
                f"{low_rank:.1f}: {_DIMENSIONAL.format(what=what)}"
            )
    return found


def queue_warnings(queues: Mapping[str, int], images: int) -> list[str]:
    """Say which queues are longer than the data set."""
    return [
        f"the queue of objectives.{name}.bank holds {size} keys and the data set only {images} "
        "images, so that each image meets its own older views as negatives. Set its queue_size "
        f"below {images}."
        for name, size in queues.items()
        if size > images
    ]
