"""What ``dense-cl compare`` shows of invariances besides scores: chance, and curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.report import html
from dense_cl.report.compare_file import Result
from dense_cl.report.plots import Panel, curves


def nulls(results: Sequence[Result], score: str) -> list[str]:
    """Return a table of the score beside its nulls, if results of one task have any."""
    of_each = [
        {
            name: each["scores"].get(score)
            for name, each in _named(result, "nulls").items()
            if isinstance(each, Mapping) and isinstance(each.get("scores"), Mapping)
        }
        for result in results
    ]
    names = list(dict.fromkeys(name for found in of_each for name in found))
    if not names:
        return []
    rows = []
    for result, each in zip(results, of_each, strict=True):
        values = [result.scores.get(score), *map(each.get, names)]
        rows.append((f"{result.method}, seed {result.seed}", *map(_written, values)))
    told = "permuted: the same pictures in shuffled sets; random_init: before any training"
    return [html.table(("run", score, *names), rows, told)]


def sweeps(results: Sequence[Result]) -> list[str]:
    """Return a figure of the cosines over the strength of each transform, if there are any.

    A transform without strengths, such as a mirror, has only its score.
    """
    # Strengths -> cosines of every run, by transform and method.
    found: dict[str, dict[str, list[NDArray[np.float64]]]] = {}
    for result in results:
        for group, curve in _named(result, "curves").items():
            points = _points(curve)
            if points is not None:
                found.setdefault(group, {}).setdefault(result.method, []).append(points)
    panels = [
        Panel(
            group,
            {
                method: tuple(np.mean(runs, axis=0).tolist())
                for method, runs in by_method.items()
                if len({run.shape for run in runs}) == 1
            },
            xlabel="strength",
        )
        for group, by_method in found.items()
    ]
    if not panels:
        return []
    return [
        html.figure(
            curves(panels),
            "Whitened cosine of photos and their changed versions, mean over photos and seeds.",
            "cosine over the strength of each transform",
        )
    ]


def _points(curve: Any) -> NDArray[np.float64] | None:
    """Return strengths and cosines, (2, K), if there are several and all are numbers."""
    try:
        points = np.array([curve["strength"], curve["cosine"]], dtype=np.float64)
    except (TypeError, KeyError, ValueError):
        return None
    several = points.ndim == 2 and points.shape[1] > 1
    return points if several and np.isfinite(points).all() else None


def _named(result: Result, key: str) -> Mapping[str, Any]:
    found = result.content.get(key)
    return found if isinstance(found, Mapping) else {}


def _written(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "–"
