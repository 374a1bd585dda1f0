"""Parts of a labelled set: a held-out share, and the few labels of a low-label experiment."""

import math

import numpy as np

from dense_cl.errors import DenseCLError
from dense_cl.transfer.labels import Labels

HELD_OUT = 0.2


def take_fraction(labels: Labels, percent: float, seed: int) -> Labels:
    """Return a random part of the labelled images.

    The images with at least one annotation that is not a crowd are put into an order that depends
    on ``seed`` and their ids only; the part is its first ``percent`` (rounded up, so at least one
    image). With one seed, the images of a smaller fraction are therefore among those of a larger
    one. As in the usual low-label protocols (such as Sohn et al., arXiv 2005.04757), classes are
    not balanced: a small part may miss rare ones.

    Args:
        labels: the whole set.
        percent: more than 0, at most 100.
        seed: of the order.

    Raises:
        DenseCLError: ``percent`` out of range, or no annotated image.
    """
    annotated = {a["image_id"] for a in labels.annotations if not a["iscrowd"]}
    if not annotated:
        raise DenseCLError(f"'{labels.file}' has no annotations but crowds.")
    return labels.subset(first_part(annotated, percent, seed))


def first_part(image_ids: set, percent: float, seed: int) -> set:
    """Return the first ``percent`` of the images in an order of the seed, rounded up.

    Raises:
        DenseCLError: ``percent`` out of range.
    """
    if not 0 < percent <= 100:
        raise DenseCLError(f"fraction {percent}: give a percentage above 0 and at most 100.")
    # The tolerance keeps 29 % of 100 images from becoming 30 by rounding.
    count = math.ceil(len(image_ids) * percent / 100 - 1e-9)
    return set(_shuffled(image_ids, seed)[:count])


def hold_out(labels: Labels, seed: int, share: float = HELD_OUT) -> tuple[Labels, Labels]:
    """Split the images at random into a training and a held-out part.

    Args:
        labels: the whole set.
        seed: of the choice.
        share: how much to hold out, at least one image.

    Returns:
        The training part and the held-out part.

    Raises:
        DenseCLError: fewer than two images.
    """
    if len(labels.images) < 2:
        raise DenseCLError(f"'{labels.file}' has one image: nothing can be held out; give --val.")
    order = _shuffled({image["id"] for image in labels.images}, seed)
    count = max(1, round(share * len(order)))
    return labels.subset(set(order[count:])), labels.subset(set(order[:count]))


def _shuffled(image_ids: set, seed: int) -> list:
    """Return the ids in an order that depends on them and the seed, not on the file's order."""
    ordered = sorted(image_ids, key=lambda image_id: (str(type(image_id)), image_id))
    return [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
