"""The comparison of methods over tasks, as plain values."""

from collections.abc import Callable, Sequence
from typing import Any

from dense_cl.errors import DenseCLError, nearest
from dense_cl.evaluation.statistics import difference, holm, summary, verdict
from dense_cl.evaluation.statistics.difference import RESAMPLES
from dense_cl.evaluation.statistics.estimate import ALPHA, POWER
from dense_cl.report.compare_file import Result
from dense_cl.report.compare_runs import runs_of


def compare(
    results: Sequence[Result],
    control: str | None = None,
    scores: Sequence[str] | str = (),
    alpha: float = ALPHA,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Compare every method with a control on every task, corrected for all these questions at once.

    Args:
        results: of ``read_results``.
        control: method the others are compared with; the first one by default.
        scores: which to compare; by default the first of each task.
        alpha: level of the whole page: the chance that any of its verdicts claims a difference
            that is none.
        progress: called with a line of text before each task.

    Returns:
        ``control``, ``alpha``, ``power``, ``questions`` (how many comparisons were corrected for),
        ``notes`` (lines on what no comparison is about), and ``tasks``: a list with, for each task
        and score, ``methods`` (seeds, score of each, mean, interval) and ``comparisons``
        (difference, interval, corrected p-value, minimum detectable difference, verdict).

    Raises:
        DenseCLError: no such control or score.
    """
    scores = [scores] if isinstance(scores, str) else scores
    methods = list(dict.fromkeys(result.method for result in results))
    control = methods[0] if control is None else control
    if control not in methods:
        raise DenseCLError(f"no result is of the control '{control}'.{nearest(control, methods)}")
    unknown = [name for name in scores if all(name not in result.scores for result in results)]
    if unknown:
        names = {name for result in results for name in result.scores}
        raise DenseCLError(f"no result has a score '{unknown[0]}'.{nearest(unknown[0], names)}")
    tasks, pending = [], []
    asked = list(dict.fromkeys(result.task for result in results))
    for number, task in enumerate(asked, start=1):
        progress(f"task {number} of {len(asked)}: {task}")
        here = [result for result in results if result.task == task]
        present = list(dict.fromkeys(name for result in here for name in result.scores))
        for score in [name for name in present if name in scores] if scores else present[:1]:
            runs = {
                name: runs_of([result for result in here if result.method == name], score)
                for name in methods
                if any(result.method == name for result in here)
            }
            entry: dict[str, Any] = {
                "task": task,
                "score": score,
                "images": min(each.images for each in runs.values()),
                "unit": next(iter(runs.values())).unit,
                "lacking": "; ".join(
                    dict.fromkeys(each.lacking for each in runs.values() if not each.images)
                ),
                "methods": [_described(name, each, alpha) for name, each in runs.items()],
                "comparisons": [],
            }
            tasks.append(entry)
            if control in runs:
                pending += [
                    (entry, name, difference(each, runs[control]))
                    for name, each in runs.items()
                    if name != control
                ]
    questions = max(1, len(pending))
    corrected = holm([found.estimate.p_value() for *_, found in pending])
    for (entry, name, found), p_value in zip(pending, corrected, strict=True):
        # What Holm's strictest step, alpha over the number of questions, would find.
        detectable = found.estimate.detectable(alpha / questions)
        entry["comparisons"].append(
            {
                "method": name,
                "difference": found.estimate.value,
                "interval": list(found.estimate.interval(alpha)),
                "p_value": found.estimate.p_value(),
                "p_corrected": p_value,
                "detectable": detectable,
                "paired_by_seed": found.paired,
                "seeds": list(found.seeds),
                "images": found.images,
                "shown": p_value < alpha,
                "verdict": verdict(name, control, found, p_value, alpha, detectable),
            }
        )
    return {
        "control": control,
        "alpha": alpha,
        "power": POWER,
        "questions": len(pending),
        "resamples": RESAMPLES,
        "notes": _notes(results, methods, control, scores),
        "tasks": tasks,
    }


def _notes(
    results: Sequence[Result], methods: Sequence[str], control: str, scores: Sequence[str]
) -> list[str]:
    """Say of each task what its verdicts leave out."""
    notes = []
    for task in dict.fromkeys(result.task for result in results):
        here = [result for result in results if result.task == task]
        present = {result.method for result in here}
        absent = [name for name in methods if name not in present]
        if scores and all(name not in result.scores for result in here for name in scores):
            notes.append(f"{task}: not compared, it has no score {' or '.join(scores)}")
        elif control not in present:
            notes.append(f"{task}: not compared, no result is of the control {control}")
        elif len(present) == 1:
            notes.append(f"{task}: not compared, all results are of the control {control}")
        elif absent:
            notes.append(f"{task}: no result is of {', '.join(absent)}")
        if architectures := _architectures(here):
            notes.append(
                f"{task}: architectures differ ({architectures}), which may be what a difference "
                "comes from"
            )
    return notes


def _architectures(results: Sequence[Result]) -> str:
    """Name the methods of each architecture, where results say of several."""
    methods: dict[str, dict[str, None]] = {}
    for result in results:
        if name := result.content.get("backbone_architecture"):
            methods.setdefault(str(name), {})[result.method] = None
    if len(methods) < 2:
        return ""
    return "; ".join(f"{name}: {', '.join(found)}" for name, found in methods.items())


def _described(name: str, runs: Any, alpha: float) -> dict[str, Any]:
    estimate = summary(runs)
    return {
        "method": name,
        "seeds": list(runs.seeds),
        "scores": runs.scores_S.tolist(),
        "mean": estimate.value,
        "std": float(runs.scores_S.std(ddof=1)) if len(runs.seeds) > 1 else None,
        "interval": list(estimate.interval(alpha)),
    }
