"""Numbers that change during training: loss weights and the EMA decay."""

import math
from collections.abc import Mapping
from typing import Any

from dense_cl.errors import DenseCLError, nearest

Schedule = float | Mapping[str, Any]

_KEYS = {
    "step": ({"before", "after", "at"}, set()),
    "linear": ({"start", "end"}, {"steps"}),
    "cosine": ({"start", "end"}, {"steps"}),
}


def schedule_value(schedule: Schedule, step: int, total_steps: int) -> float:
    r"""Return the value of a schedule at an optimiser step.

    Args:
        schedule: a number, or one of

            - ``dict(kind='step', before=a, after=b, at=n)``: a for steps 0..n-1, then b;
            - ``dict(kind='linear', start=a, end=b[, steps=n])``;
            - ``dict(kind='cosine', start=a, end=b[, steps=n])``:
              :math:`b - (b - a)(\cos(\pi k / n) + 1) / 2`, the momentum schedule of BYOL and
              of facebookresearch/moco-v3 ``main_moco.py``.

            ``steps`` defaults to the whole run; the end value holds afterwards.
        step: optimiser steps taken so far, k.
        total_steps: optimiser steps of the whole run, 0 when unknown.

    Raises:
        DenseCLError: unknown kind, missing or unknown key, or a whole-run schedule in a run
            of unknown length.
    """
    if isinstance(schedule, int | float):
        return float(schedule)
    check_schedule(schedule)
    if schedule["kind"] == "step":
        return float(schedule["before"] if step < schedule["at"] else schedule["after"])
    start, end = float(schedule["start"]), float(schedule["end"])
    steps = schedule.get("steps") or total_steps
    if steps <= 0:
        raise DenseCLError(
            f"schedule {dict(schedule)}: the length of the run is unknown; give 'steps'."
        )
    progress = min(step / steps, 1.0)
    if schedule["kind"] == "linear":
        return start + (end - start) * progress
    return end - (end - start) * (math.cos(math.pi * progress) + 1) / 2


def check_schedule(schedule: Schedule) -> None:
    """Raise ``DenseCLError`` unless ``schedule`` is one that ``schedule_value`` understands."""
    if isinstance(schedule, int | float):
        return
    kind = schedule.get("kind") if isinstance(schedule, Mapping) else None
    if kind not in _KEYS:
        raise DenseCLError(
            f"schedule {schedule!r}: not a number nor a dict with a known 'kind'."
            f"{nearest(str(kind), _KEYS)}"
        )
    required, optional = _KEYS[kind]
    given = set(schedule) - {"kind"}
    for name in sorted(given - required - optional):
        raise DenseCLError(
            f"schedule of kind '{kind}' has no key '{name}'.{nearest(name, required | optional)}"
        )
    if missing := sorted(required - given):
        raise DenseCLError(f"schedule of kind '{kind}' needs {', '.join(missing)}.")
