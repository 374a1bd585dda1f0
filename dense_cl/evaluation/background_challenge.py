"""How much a frozen backbone's features tell of the background instead of the object."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.backgrounds import (
    MIN_SHARE,
    MIN_STRIP,
    MIXED_RAND,
    MIXED_SAME,
    ORIGINAL,
    VARIANTS,
    Cutout,
    cut_out,
    donors,
    variant,
)
from dense_cl.evaluation.bootstrap import LEVEL, RESAMPLES, bootstrap_interval
from dense_cl.evaluation.classification import L2
from dense_cl.evaluation.data_identity import check_disjoint
from dense_cl.evaluation.frozen import FrozenBackbone, open_backbone
from dense_cl.evaluation.knn import TEMPERATURE, K, knn_votes
from dense_cl.evaluation.labelled_images import class_numbers
from dense_cl.evaluation.logistic import fit_vectors
from dense_cl.evaluation.object_files import CocoImages
from dense_cl.evaluation.results import make_result
from dense_cl.sources.base import UnreadableImageError

_BATCH = 64
# Differences of two variants' accuracy on the same images.
GAPS = {
    "bg_gap": (MIXED_SAME, MIXED_RAND),
    "original_minus_mixed_rand": (ORIGINAL, MIXED_RAND),
}


def evaluate_backgrounds(
    backbone: str | Path | torch.nn.Module,
    train: CocoImages,
    test: CocoImages,
    size: int = 224,
    min_images: int = 5,
    coarse: bool = False,
    l2: float = L2,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Classify originals and images with other backgrounds (see ``backgrounds``).

    The classifiers of ``evaluate_classification``, nearest neighbours and logistic regression on
    pooled features, learn from the originals of ``train``. BG-Gap is the accuracy on ``mixed_same``
    minus that on ``mixed_rand``: what right backgrounds add where the object is right anyway.

    Args:
        backbone: exported file, ``random``, ``random:ARCH``, or a module that returns stage maps.
        train: photos with masks to learn from.
        test: photos with masks that the variants are made of.
        size: side of the images in pixels.
        min_images: classes with fewer images in either set are left out, and named.
        coarse: classes are COCO's supercategories, as ImageNet-9's are groups of classes.
        l2: penalty of the logistic regression.
        seed: of the donors, the bootstrap, and a random backbone.
        progress: called with what is done, how many are done, and how many in all.

    Returns:
        Plain values ready for JSON: ``scores`` (classifier -> variant or gap -> number),
        ``intervals`` likewise, ``classes`` and the counts of images in each, ``left_out``,
        ``records`` by test image, ``settings`` and ``versions``.

    Raises:
        DenseCLError: wrong input, no masks, or fewer than two classes large enough.
    """
    if size < 32 or min_images < 2 or l2 <= 0 or seed < 0:
        raise DenseCLError(
            "backgrounds: size is 32 or more, min_images 2 or more, l2 positive and seed 0 or more;"
            f" got size={size}, min_images={min_images}, l2={l2}, seed={seed}"
        )
    given = {"train": train, "test": test}
    check_disjoint({what: images.files() for what, images in given.items()})
    backbone_name, frozen = open_backbone(backbone, seed)
    sets: dict[str, list[Cutout]] = {}
    left_out: dict[str, Any] = {}
    for what, images in given.items():
        sets[what], left_out[what] = _cutouts(images, what, size, coarse, progress)
    counts = {what: Counter(cutout.label for cutout in cutouts) for what, cutouts in sets.items()}
    classes = sorted(set.union(*(set(count) for count in counts.values())))
    kept = [c for c in classes if min(count[c] for count in counts.values()) >= min_images]
    if len(kept) < 2:
        table = ", ".join(f"{c} {counts['train'][c]}/{counts['test'][c]}" for c in classes)
        raise DenseCLError(
            f"backgrounds: {len(kept)} classes have {min_images} usable images in both sets, two"
            f" are needed. Usable in train/test: {table or 'none'}. Images are usable whose"
            " objects all have masks, and of which the largest is not too small and leaves"
            " background beside its box. Use more images, coarse classes, or a smaller min_images."
        )
    left_out["classes"] = [c for c in classes if c not in kept]
    sets = {what: [c for c in cutouts if c.label in kept] for what, cutouts in sets.items()}
    labels = {what: [c.label for c in cutouts] for what, cutouts in sets.items()}
    train_N, test_M = class_numbers(labels["train"], labels["test"])
    memory_ND = _features(
        frozen, ORIGINAL, sets["train"], None, lambda what, *at: progress(f"{what}, train", *at)
    )
    (linear,) = fit_vectors(memory_ND, train_N, len(kept), [l2], standardise=True)
    unit_ND = F.normalize(memory_ND, dim=1)
    right: dict[str, dict[str, Tensor]] = {"knn": {}, "linear": {}}
    for name in VARIANTS:
        chosen = donors(name, labels["test"], seed)
        query_MD = _features(frozen, name, sets["test"], chosen, progress)
        votes = knn_votes(unit_ND, train_N, F.normalize(query_MD, dim=1), len(kept))
        right["knn"][name] = votes.argmax(dim=1) == test_M
        right["linear"][name] = linear.logits(query_MD).argmax(dim=1) == test_M
    hits = {c: {name: found.double() for name, found in by.items()} for c, by in right.items()}
    for by in hits.values():
        by |= {gap: by[first] - by[second] for gap, (first, second) in GAPS.items()}
    return make_result(
        "backgrounds",
        backbone_name,
        seed,
        {c: {name: float(found.mean()) for name, found in by.items()} for c, by in hits.items()},
        [
            {"image": cutout.name, "class": cutout.label}
            | {c: {name: float(found[i]) for name, found in by.items()} for c, by in hits.items()}
            for i, cutout in enumerate(sets["test"])
        ],
        {
            "size": size, "min_images": min_images, "coarse": coarse, "l2": l2, "seed": seed,
            "k": K, "temperature": TEMPERATURE, "min_share": MIN_SHARE, "min_strip": MIN_STRIP,
            "interval": LEVEL, "resamples": RESAMPLES,
            "data": {what: images.identity() for what, images in given.items()},
        },
        intervals={
            c: {name: list(bootstrap_interval(f.numpy(), seed=seed)) for name, f in by.items()}
            for c, by in hits.items()
        },
        classes={c: {what: counts[what][c] for what in counts} for c in kept},
        left_out=left_out,
        **frozen.facts(),
    )  # fmt: skip


def _cutouts(
    images: CocoImages,
    what: str,
    size: int,
    coarse: bool,
    progress: Callable[[str, int, int], None],
) -> tuple[list[Cutout], dict[str, Any]]:
    if coarse and len(images.supercategories) < len(images.labels.categories):
        raise DenseCLError(
            f"'{images.labels.file}' has categories without a supercategory, which coarse classes"
            " need. Add them, or leave --coarse out."
        )
    cutouts, unreadable, unusable = [], [], 0
    for number in range(len(images)):
        progress(f"{what} images", number, len(images))
        name = images.name(number)
        try:
            cutout = cut_out(images.load(number), name, size)
        except UnreadableImageError as error:
            unreadable.append({"image": name, "reason": error.reason})
            continue
        if cutout is None:
            unusable += 1
            continue
        label = images.supercategories[cutout.label] if coarse else cutout.label
        cutouts.append(Cutout(name, label, cutout.image, cutout.mask))
    progress(f"{what} images", len(images), len(images))
    return cutouts, {"unusable": unusable, "unreadable": unreadable}


def _features(
    frozen: FrozenBackbone,
    name: str,
    cutouts: Sequence[Cutout],
    chosen: Sequence[int] | None,
    progress: Callable[[str, int, int], None],
) -> Tensor:
    """Return the pooled features of one variant of N images: (N, D)."""
    parts = []
    for start in range(0, len(cutouts), _BATCH):
        progress(f"features of {name}", start, len(cutouts))
        batch = [
            variant(name, cutouts[i], cutouts[chosen[i]] if chosen is not None else None)
            for i in range(start, min(start + _BATCH, len(cutouts)))
        ]
        parts.append(frozen.pooled(torch.from_numpy(np.stack(batch))))
    progress(f"features of {name}", len(cutouts), len(cutouts))
    return torch.cat(parts)
