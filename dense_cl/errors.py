"""The one exception type that is a message to the user, not a bug."""

import difflib
from collections.abc import Iterable

_MOST_NAMES = 50  # in a message


class DenseCLError(Exception):
    """Bad input or a run that cannot go on.

    The message names the input, the reason and the mend. The command line prints it as one
    line and exits with status 2; from Python it is raised as is.
    """


def check_positive(owner: str, **options: float) -> None:
    """Check that options are above 0.

    Raises:
        DenseCLError: names the first that is not.
    """
    for name, value in options.items():
        if not value > 0:
            raise DenseCLError(f"{owner}: {name}={value}; it is above 0.")


def check_share(owner: str, **options: float) -> None:
    """Check that options lie in [0, 1].

    Raises:
        DenseCLError: names the first that does not.
    """
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise DenseCLError(f"{owner}: {name}={value}; it lies between 0 and 1.")


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest valid name, or else all if they are few.

    Args:
        name: what the user wrote.
        valid: the names that would have been accepted.
    """
    choices = sorted(set(valid))
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f" Did you mean '{close[0]}'?"
    if len(choices) > _MOST_NAMES:
        return f" None of {len(choices)} names is like it."
    return f" Valid names: {', '.join(choices)}." if choices else ""
