"""The splits of a task on labelled images: which classes they share, and what is missing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dense_cl.errors import DenseCLError, nearest
from dense_cl.evaluation.data_identity import check_disjoint, check_distinct
from dense_cl.evaluation.labelled_images import LabelledImages, class_members, class_numbers

VAL_SHARE = 0.2


@dataclass(frozen=True)
class Splits:
    """Labelled images for training, choosing and testing.

    Attributes:
        train: to learn from; without the validation images.
        val: to choose settings with.
        test: to score once.
    """

    train: LabelledImages
    val: LabelledImages
    test: LabelledImages

    @classmethod
    def of(
        cls,
        train: LabelledImages,
        test: LabelledImages,
        val: LabelledImages | None = None,
        *,
        multi_label: bool = False,
    ) -> "Splits":
        """Check the classes, and split ``train`` if there are no validation images.

        The rule of ``linear.py`` in linusericsson/ssl-transfer: the indices are shuffled by NumPy's
        generator with seed 0, and the first fifth, rounded down, is for validation.

        Raises:
            DenseCLError: too few images to split, labels that have no training image, or a split
                without labels.
        """
        sets = {"training": train, "test": test} | ({"validation": val} if val else {})
        check_classes(sets, multi_label)
        if val is None:
            order = np.arange(len(train))
            np.random.RandomState(0).shuffle(order)
            count = int(len(train) * VAL_SHARE)
            if not count:
                raise DenseCLError(f"{len(train)} training images are too few to choose with.")
            check_distinct(train.files())  # one image in both parts would be learnt by heart
            train, val = train.take(order[count:]), train.take(order[:count])
            if not multi_label and len(set(train.names)) < 2:
                raise DenseCLError(
                    f"a fifth of the training images is for validation, and the other {len(train)}"
                    f" are all of class '{train.names[0]}'. Give more, or validation images."
                )
        splits = cls(train, val, test)
        for what, images in splits.by_name().items():
            if not _names(images, multi_label):
                raise DenseCLError(
                    f"none of the {what} images has a label, so there is nothing to count."
                    " Give others."
                )
        return splits

    def by_name(self) -> dict[str, LabelledImages]:
        """Return the sets by what messages call them."""
        return {"training": self.train, "validation": self.val, "test": self.test}

    def targets(self, multi_label: bool) -> tuple[dict[str, Tensor], int]:
        """Return (N,) class numbers of each set, or (N, K) of 0 and 1; and K."""
        numbered = class_members if multi_label else class_numbers
        sets = self.by_name()
        targets = numbered(*(images.names for images in sets.values()))
        classes = targets[0].shape[1] if multi_label else max(int(t.max()) for t in targets) + 1
        return dict(zip(sets, targets, strict=True)), classes


def facts(sets: Mapping[str, LabelledImages]) -> dict[str, dict[str, int | str]]:
    """Return what the settings of a result say of the sets, by what messages call them."""
    return {
        "images": {what: len(images) for what, images in sets.items()},
        "data": {what: images.identity() for what, images in sets.items()},
    }


def check_classes(sets: Mapping[str, LabelledImages], multi_label: bool = False) -> None:
    """Check, before long work, that there is something to tell apart and all files are there.

    Args:
        sets: by what messages call them, ``training`` and ``test`` among them.
        multi_label: whether ``a+b`` is two classes; else it is the name of one.

    Raises:
        DenseCLError: fewer than two classes; the first label without a training image, and the
            nearest name there is; a missing or empty image file; an image in two sets, or
            twice among the test images.
    """
    known = _names(sets["training"], multi_label)
    if len(known) < 2:
        raise DenseCLError(
            f"two classes or more are needed, and the training images have {len(known)} "
            f"({', '.join(known)}). Is it the right label column, or the right folder?"
        )
    check_disjoint({what: images.files() for what, images in sets.items()})
    check_distinct(sets["test"].files())  # counted twice, it would be worth two
    for what, images in sets.items():
        images.check_files()
        unknown = sorted(_names(images, multi_label) - known)
        if unknown:
            raise DenseCLError(
                f"{len(unknown)} classes of the {what} images have no training image, for example "
                f"'{unknown[0]}': the two sets do not belong together, or use other names."
                + nearest(unknown[0], known)
            )


def _names(images: LabelledImages, multi_label: bool) -> set[str]:
    if not multi_label:
        return set(images.names)
    return {part for name in images.names for part in name.split("+")} - {""}
