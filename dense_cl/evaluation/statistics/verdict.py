"""What a comparison says, in words."""

from dense_cl.evaluation.statistics.difference import Difference
from dense_cl.evaluation.statistics.estimate import ALPHA, POWER
from dense_cl.evaluation.statistics.runs import EPISODES, QUERY_PHOTOS

# What stands behind units of a kind, and is the same in all resamples.
_FIXED = {
    EPISODES: "the images that episodes are drawn from",
    QUERY_PHOTOS: "the photos that they are matched with",
}


def verdict(
    first: str,
    second: str,
    found: Difference,
    p_value: float | None = None,
    alpha: float = ALPHA,
    detectable: float | None = None,
) -> str:
    """Say whether one method is above the other, and what the answer is worth.

    Args:
        first: name of the method whose score comes first in the difference.
        second: name of the other.
        found: their difference.
        p_value: corrected for other comparisons; None for the comparison's own.
        alpha: level; below it a difference counts as shown.
        detectable: minimum detectable difference; None for the comparison's own.
    """
    estimate = found.estimate
    p_value = estimate.p_value() if p_value is None else p_value
    detectable = estimate.detectable(alpha) if detectable is None else detectable
    low, high = estimate.interval(alpha)
    level = f"{100 * (1 - alpha):.6g}% interval"
    limits = f"{level} {low:.4g} to {high:.4g}"
    if not estimate.parts:
        return _unknown(first, second, found)
    if p_value >= alpha:
        head = (
            f"no difference shown between {first} and {second} ({estimate.value:+.4g}, {limits}; "
            f"one of {detectable:.2g} would be found in {POWER:.0%} of such comparisons)"
        )
    else:
        above, below = (first, second) if estimate.value > 0 else (second, first)
        if estimate.value < 0:
            limits = f"{level} {-high:.4g} to {-low:.4g}"
        head = f"{above} above {below} by {abs(estimate.value):.4g} ({limits})"
    said = [head, *_reservations(first, second, found)]
    if estimate.p_value() < alpha <= p_value:
        said.append("alone it would count as shown, but not among all comparisons made")
    return "; ".join(said)


def _unknown(first: str, second: str, found: Difference) -> str:
    """Say what there is to say of a difference whose error is not known."""
    several = max(found.seeds) > 1
    if found.estimate.value == 0 and (several or found.images > 1):
        head = f"no difference shown between {first} and {second}: their results are the same"
        return "; ".join([head, *_reservations(first, second, found)])
    spread = "cannot be estimated (those measured show none)"
    of_seeds = f"the spread between seeds {spread}" if several else "one run each"
    of_images = found.lacking or f"that between {found.images} {found.unit} {spread}"
    why = f"{of_seeds}; {of_images if found.images != 1 else 'one image'}"
    if found.estimate.value == 0:
        return (
            f"no difference shown between {first} and {second}: their scores are the same; how "
            f"sure that is cannot be told ({why})"
        )
    return (
        f"cannot be told whether {first} and {second} differ ({found.estimate.value:+.4g}): {why}"
    )


def _reservations(first: str, second: str, found: Difference) -> list[str]:
    single = [name for name, count in zip((first, second), found.seeds, strict=True) if count == 1]
    said = []
    if len(single) == 2:
        said.append(f"one run each: only {found.unit} were resampled, seed variation is unknown")
    elif single:
        said.append(f"one run of {single[0]}: its seed variation is unknown")
    if len(single) < 2 and not found.seeds_vary and found.images_vary:
        said.append("all seeds show the same: their spread cannot be estimated")
    if not found.images:
        said.append(f"{found.lacking}: the images are taken as they are")
    elif found.unit in _FIXED:
        said.append(f"{_FIXED[found.unit]} were not resampled")
    return said
