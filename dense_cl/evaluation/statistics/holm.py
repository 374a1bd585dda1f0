"""Several questions asked at once: Holm's correction."""

from collections.abc import Sequence

from dense_cl.errors import DenseCLError


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being m of them, in the same order.

    The chance that any true null hypothesis gets an adjusted p-value below alpha is at most alpha,
    whatever the dependence between the tests (Holm, Scandinavian Journal of Statistics 6, 1979,
    65-70).

    Args:
        p_values: m values in [0, 1].

    Raises:
        DenseCLError: one is not.
    """
    wrong = [value for value in p_values if not 0 <= value <= 1]  # nor is NaN
    if wrong:
        raise DenseCLError(f"{wrong[0]} is no p-value: it is not between 0 and 1.")
    count = len(p_values)
    adjusted = [0.0] * count
    highest = 0.0
    for rank, index in enumerate(sorted(range(count), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
