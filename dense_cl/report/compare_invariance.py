"""What ``dense-cl compare`` shows of invariances besides scores: chance, and curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dense_cl.report import html
from dense_cl.report.compare_file import Result
from dense_cl.report.plots import Panel, curves


def nulls(results: Sequence[Result], score: str) -> list[str]:
    """Return a table of the score beside its nulls, if results of one task have any."""
    of_each = [
        {name: each.get("scores", {}).get(score) for name, each in _named(result, "nulls").items()}
        for result in results
    ]
    names = list(dict.fromkeys(name for found in of_each for name in found))
    if not names:
        return []
    rows = [
        (f"{result.method}, seed {result.seed}", *map(_written, (result.scores.get(score), *found)))
        for result, each in zip(results, of_each, strict=True)
        for found in [[each.get(name) for name in names]]
    ]
    told = "permuted: the same pictures in shuffled sets; random_init: before any training"
    return [html.table(("run", score, *names), rows, told)]


def sweeps(results: Sequence[Result]) -> list[str]:
    """Return a figure of the cosines over the strength of each transform, if there are any.

    A transform without strengths, such as a mirror, has only its score.
    """
    by_group: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for result in results:
        for group, curve in _named(result, "curves").items():
            if len(curve["strength"]) > 1:
                by_group.setdefault(group, {}).setdefault(result.method, []).append(curve)
    if not by_group:
        return []
    panels = [
        Panel(
            group,
            {
                method: (found[0]["strength"], np.mean([each["cosine"] for each in found], axis=0))
                for method, found in by_method.items()
            },
            xlabel="strength",
        )
        for group, by_method in by_group.items()
    ]
    return [
        html.figure(
            curves(panels),
            "Whitened cosine of photos and their changed versions, mean over photos and seeds.",
            "cosine over the strength of each transform",
        )
    ]


def _named(result: Result, key: str) -> Mapping[str, Any]:
    found = result.content.get(key)
    return found if isinstance(found, Mapping) else {}


def _written(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "–"
