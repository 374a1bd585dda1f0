"""What the numbers mean: a verdict and a sentence for each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dense_cl.diagnostics.collapse import collapsed_rank

# Features whose views lie hardly closer together than different images ignore what images show.
_ALIGNED = 0.9
# log E exp(-2 d^2) of features whose directions differ by 10 degrees: 2 - 2 cos = 0.03.
_CROWDED = -0.06


@dataclass(frozen=True)
class Judgement:
    """A measure, read.

    Attributes:
        measure: its name for readers.
        value: as ``dense_cl.diagnostics.measure`` gives it.
        healthy: False if something looks wrong; None for a measure without a norm.
        sentence: what the value says.
    """

    measure: str
    value: float
    healthy: bool | None
    sentence: str

    @property
    def verdict(self) -> str:
        """One word."""
        return {True: "healthy", False: "suspicious", None: "no norm"}[self.healthy]


def judge(measures: Mapping[str, float], images: int, channels: int) -> list[Judgement]:
    """Read what ``view_measures`` and ``label_measures`` gave.

    Args:
        measures: values by name; those that are not there are not judged.
        images: N they are from.
        channels: D of the features.
    """
    found = []

    def add(name: str, measure: str, healthy: bool, good: str, bad: str) -> None:
        found.append(Judgement(name, measures[measure], healthy, good if healthy else bad))

    if "relative_std" in measures:
        share = measures["relative_std"]
        add(
            "feature std", "feature_std", share >= 0.1,
            f"{share:.0%} of 1/sqrt(D), the value of evenly spread directions.",
            f"{share:.1%} of 1/sqrt(D): all images point one way (complete collapse).",
        )  # fmt: skip
    if "rankme" in measures:
        rank, low = measures["rankme"], collapsed_rank(images, channels)
        most = min(images, channels)
        add(
            "RankMe", "rankme", rank >= low,
            f"the features use about {rank:.0f} of {most} possible directions; more is better.",
            f"below {low:.1f} of {most} possible directions (dimensional collapse).",
        )  # fmt: skip
    if "uniformity" in measures:
        add(
            "uniformity", "uniformity", measures["uniformity"] <= _CROWDED,
            "0 is all in one point, -4 is evenly spread in many dimensions.",
            "nearly 0: all images lie in one point of the sphere.",
        )  # fmt: skip
    if "alignment" in measures:
        near, far = measures["alignment"], measures["distance"]
        add(
            "alignment", "alignment", near < _ALIGNED * far,
            f"two views of an image lie at {near / max(far, 1e-12):.0%} of the squared distance of "
            "different images.",
            f"two views of an image lie as far apart as different images ({far:.3g}): the "
            "features do not tell what stays under augmentation.",
        )  # fmt: skip
    if "alpha_req" in measures:
        # Healthy features had 2, their healthy projections 4: see docs/diagnostics.md.
        sentence = "the larger, the fewer components carry the variance; compare with other runs."
        found.append(Judgement("alpha-ReQ", measures["alpha_req"], None, sentence))
    if "lidar" in measures:
        low, most = collapsed_rank(images, channels), min(images - 1, channels)
        add(
            "LiDAR", "lidar", measures["lidar"] >= low,
            f"of at most {most} directions in which images differ more than their views do.",
            f"below {low:.1f}: hardly a direction tells images apart but not their views.",
        )  # fmt: skip
    if "knn" in measures:
        accuracy, chance = measures["knn"], measures["knn_chance"]
        # Two standard errors of a share of so many images.
        margin = 2 * math.sqrt(chance * (1 - chance) / images)
        add(
            "kNN accuracy", "knn", accuracy > chance + margin,
            f"naming the largest class always would give {chance:.3f}.",
            f"no better than naming the largest class always ({chance:.3f}).",
        )  # fmt: skip
    if "similarity" in measures:
        same, other = measures["tolerance"], measures["similarity"]
        add(
            "tolerance", "tolerance", same > other,
            f"images of one class are more alike than of different classes ({other:.3f}).",
            f"images of one class are no more alike than of different classes ({other:.3f}).",
        )  # fmt: skip
    return found


def judge_hardness(share: float, hardest: int, negatives: int, temperature: float) -> Judgement:
    """Read the share of the repulsive gradient that falls on the hardest negatives.

    Args:
        share: of the ``hardest`` negatives, at ``temperature``.
        hardest: how many.
        negatives: how many there are.
        temperature: T.
    """
    even = hardest / negatives
    healthy = 1.5 * even < share < 0.9
    if healthy:
        text = f"evenly spread repulsion would give {even:.3f}."
    elif share >= 0.9:
        text = "only these few are pushed away, be they of the same class or not: T is low here."
    else:
        text = f"hardly more than evenly spread repulsion ({even:.3f}): T is high here."
    return Judgement(f"hardest {hardest} at T={temperature:g}", share, healthy, text)
