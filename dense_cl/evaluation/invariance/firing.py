"""The firing-rate score: do neurons fire on all pictures of a thing, and seldom on others?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError

_RAREST = 95.0  # percentile above which a neuron fires, at most
_LEAST = 3  # images of a set that counts


@dataclass(frozen=True)
class Firing:
    """When neurons fire.

    Attributes:
        percentile: of all activations of a neuron, above which it fires.
        positive_threshold: (D,) activation at that percentile.
        negative_threshold: (D,) the same of the negated neuron.
        global_rate: (D,) share of all images on which a neuron fires.
        local_rate: (C, D) share of the images of a set on which it or its negative fires, averaged
            over the sets of a class in which it fires at all; NaN where no set counts.
    """

    percentile: float
    positive_threshold: Tensor
    negative_threshold: Tensor
    global_rate: Tensor
    local_rate: Tensor

    def scores(self, top: int) -> Tensor:
        """Return (C,): how many times as often the ``top`` best neurons fire in sets of a class.

        It is NaN for a class without a set of three images.

        Raises:
            DenseCLError: there are fewer neurons.
        """
        channels = len(self.global_rate)
        if not 1 <= top <= channels:
            raise DenseCLError(f"the {top} best of {channels} neurons were asked for.")
        return (self.local_rate / self.global_rate).topk(top, dim=1).values.mean(dim=1)

    def percent(self, top: int) -> Tensor:
        """Return (C,) scores times the nominal global rate: 100 is on all images of a set."""
        return self.scores(top) * (100 - self.percentile)


def firing_rates(features_ND: Tensor, sets_N: Tensor, classes_N: Tensor | None = None) -> Firing:
    r"""Measure how much more often neurons fire within a set of images than on all images.

    Purushwalkam and Gupta, "Demystifying Contrastive Self-Supervised Learning", arXiv 2007.13916,
    as their code computes it (senthilps8/demystifyssl ``measure_invariances.py``): a neuron fires
    on the highest activations of all images, 1 in C of them but no rarer than 5 %; sets of fewer
    than three images are skipped; within a set the better of a neuron and its negative counts,
    while the global rate is that of the positive one; the mean score of the 10 or 25 best neurons
    of each class is averaged over classes. Without classes each set is its own, as in their code.

    The best neurons are chosen on the images they are scored on, so that even sets that have
    nothing in common score well above 1: compare with the score of shuffled sets.

    Args:
        features_ND: (N, D) activations.
        sets_N: (N,) int64, the set of each image.
        classes_N: (N,) int64, the class of each image, the same within a set; None: the sets.

    Raises:
        DenseCLError: a single class, or no set of three images.
    """
    features = features_ND.detach().double()
    sets = sets_N.unique(return_inverse=True)[1]
    classes = sets if classes_N is None else classes_N.unique(return_inverse=True)[1]
    num_classes, num_sets = int(classes.max()) + 1, int(sets.max()) + 1
    if num_classes < 2:
        raise DenseCLError(
            "the firing rate compares classes (or else sets) and there is one; give more."
        )
    sizes = sets.bincount()
    if int(sizes.max()) < _LEAST:
        raise DenseCLError(f"no set has {_LEAST} images, which the firing rate needs.")
    percentile = min((1.0 - 1.0 / num_classes) * 100, _RAREST)
    rank = int((len(features) * percentile) // 100)
    ordered = features.sort(dim=0).values
    positive, negative = ordered[rank], ordered.flip(0)[rank]

    def fired(on_ND: Tensor) -> Tensor:
        counts = torch.zeros(num_sets, features.shape[1], dtype=torch.double)
        return counts.index_add_(0, sets, on_ND.double())

    best_SD = torch.maximum(fired(features > positive), fired(features < negative))
    counting = sizes >= _LEAST
    best_SD = best_SD / sizes[:, None] * counting[:, None]
    class_of_set = torch.zeros(num_sets, dtype=torch.long).scatter_(0, sets, classes)
    total = torch.zeros(num_classes, features.shape[1], dtype=torch.double)
    sums = total.index_add(0, class_of_set, best_SD)
    firing_sets = total.index_add(0, class_of_set, (best_SD > 0).double())
    # Rates of 0 would say that nothing fires, where nothing was looked at.
    seen = torch.zeros(num_classes).index_add(0, class_of_set, counting.float()) > 0
    sums[~seen] = torch.nan
    return Firing(
        percentile,
        positive,
        negative,
        global_rate=(features >= positive).double().mean(dim=0),
        local_rate=sums / firing_sets.clamp(min=1),
    )
