"""What ``dense-cl compare`` shows: one self-contained page."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dense_cl.report import html
from dense_cl.report.compare_file import Result, flat
from dense_cl.report.compare_invariance import nulls, sweeps
from dense_cl.report.compare_pictures import pictures
from dense_cl.report.plots import Interval, intervals

_METHOD = (
    "Seeds are the unit: an interval says where the score of another training run, on other "
    "images of the same kind, is expected. Images are drawn with replacement, the same for all "
    "runs; seeds have an interval of their own with their few degrees of freedom (Student's t), "
    "and the squares of both lengths are added, so that two or three seeds give long intervals and "
    "not false alarms. "
    "Episodes are drawn in place of the images that all of them come from, which are taken as they "
    "are. Runs with the same seeds are compared seed by seed. P-values are corrected for all "
    "questions of this page together (Holm); intervals are for one question each."
)


def comparison_page(compared: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Return the page.

    Args:
        compared: of ``dense_cl.report.compare.compare``; the page shows its ``command``, if it has
            the one that it was made with.
        results: that it was made of.

    Raises:
        DenseCLError: a picture that a record names cannot be read.
    """
    methods = list(dict.fromkeys(result.method for result in results))
    control, tasks = compared["control"], compared["tasks"]
    blocks = [_verdicts(compared)]
    drawn_of: set[str] = set()
    for entry in tasks:
        here = [result for result in results if result.task == entry["task"]]
        parts = [*_scores(entry), *_differences(entry, compared), *nulls(here, entry["score"])]
        if entry["task"] not in drawn_of:
            drawn_of.add(entry["task"])
            parts += [
                html.figure(
                    picture,
                    f"{kind}: from the image where the first method falls farthest behind "
                    f"{control} (top) to the one where it is farthest ahead, where the records "
                    "say so; otherwise evenly spread over the images.",
                    f"{kind} by method",
                )
                for kind, picture in pictures(here, entry["score"], control).items()
            ]
            names = dict.fromkeys(name for result in here for name in result.scores)
            others = [name for name in names if name != entry["score"]]
            parts += [_other_scores(here, others)] if others else []
            parts += sweeps(here)
        blocks.append(html.section(f"{entry['task']}: {entry['score']}", *parts))
    blocks.append(html.section("How it was compared", html.paragraph(_METHOD), _level(compared)))
    blocks.append(html.section("Settings", *_settings(results)))
    blocks.append(html.section("Runs", _runs(results), *_commands(results, compared)))
    seeds = sorted({result.seed for result in results})
    lead = (
        f"{', '.join(methods)}; {len({e['task'] for e in tasks})} tasks; seeds "
        f"{', '.join(map(str, seeds))}; control: {control}"
    )
    return html.page("Comparison", lead, blocks, _versions(results))


def _verdicts(compared: Mapping[str, Any]) -> str:
    found = [
        f"{entry['task']}, {entry['score']}: {each['verdict']}."
        for entry in compared["tasks"]
        for each in entry["comparisons"]
    ]
    verdicts = [html.verdict(text) for text in found or ["Nothing was compared."]]
    return "\n".join([*verdicts, *(html.paragraph(f"{note}.") for note in compared["notes"])])


def _scores(entry: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            m["method"],
            len(m["seeds"]),
            f"{m['mean']:.4g}",
            "–" if m["std"] is None else f"{m['std']:.2g}",
            _limits(m["interval"]),
            ", ".join(f"{score:.4g}" for score in m["scores"]),
        )
        for m in entry["methods"]
    ]
    headers = ("method", "seeds", "mean", "std over seeds", "interval", "by seed")
    images = entry["lacking"] or f"{entry['images']} {entry['unit']}"
    drawn = [
        Interval(m["method"], m["mean"], tuple(m["interval"]), m["scores"])
        for m in entry["methods"]
    ]
    return [
        html.table(headers, rows, images),
        html.figure(
            intervals(drawn, entry["score"]),
            "Mean and interval of each method; small dots are seeds.",
            f"{entry['score']} of each method",
        ),
    ]


def _differences(entry: Mapping[str, Any], compared: Mapping[str, Any]) -> list[str]:
    if not entry["comparisons"]:
        return []
    rows = [
        (
            c["method"],
            f"{c['difference']:+.4g}",
            _limits(c["interval"]),
            f"{c['p_corrected']:.2g}",
            f"{c['detectable']:.2g}" if math.isfinite(c["detectable"]) else "–",
            _answer(c),
        )
        for c in entry["comparisons"]
    ]
    headers = ("method", "difference", "interval", "p (Holm)", "detectable", "verdict")
    drawn = [
        Interval(c["method"], c["difference"], tuple(c["interval"])) for c in entry["comparisons"]
    ]
    control = compared["control"]
    return [
        html.table(headers, rows, f"against {control}"),
        html.figure(
            intervals(drawn, f"difference from {control}", zero=True),
            f"Differences from {control}. An interval that holds 0 shows none; one that does not"
            " may still not count as shown, see the verdicts.",
            f"differences in {entry['score']} from {control}",
        ),
    ]


def _answer(comparison: Mapping[str, Any]) -> str:
    if comparison["shown"]:
        return "shown"
    known = math.isfinite(comparison["interval"][1] - comparison["interval"][0])
    return "no difference shown" if known or not comparison["difference"] else "cannot be told"


def _other_scores(results: Sequence[Result], names: Sequence[str]) -> str:
    rows = [
        (
            f"{result.method}, seed {result.seed}",
            *(f"{result.scores[n]:.4g}" if n in result.scores else "–" for n in names),
        )
        for result in results
    ]
    return html.table(("run", *names), rows, "other scores, not compared")


def _level(compared: Mapping[str, Any]) -> str:
    return html.paragraph(
        f"{compared['questions']} questions at a level of {compared['alpha']:g} for all of them; "
        f"intervals are of {100 * (1 - compared['alpha']):.6g}%. "
        f"Detectable is the difference that a repetition would show with a probability of "
        f"{compared['power']:.0%} at the strictest step of the correction; that nothing was shown "
        f"does not rule out smaller ones. {compared['resamples']} draws of images."
    )


def _settings(results: Sequence[Result]) -> list[str]:
    tables = []
    for task in dict.fromkeys(result.task for result in results):
        content = next(result.content for result in results if result.task == task)
        rows = [
            (name, json.dumps(value, ensure_ascii=False))
            for name, value in flat(content["settings"])
        ]
        if rows:
            tables.append(html.table(("setting", "value"), rows, task))
    return tables


def _runs(results: Sequence[Result]) -> str:
    rows = [
        (r.method, r.task, r.seed, str(r.content["backbone"]), _weights(r), str(r.file))
        for r in results
    ]
    return html.table(("method", "task", "seed", "backbone", "weights", "result"), rows)


def _weights(result: Result) -> str:
    """Return what tells the weights of a run from others, whatever their file is called."""
    for kind in ("fingerprint", "sha256"):
        if found := result.content.get(f"backbone_{kind}"):
            return f"{kind} {str(found)[:16]}"
    return "–"


def _commands(results: Sequence[Result], compared: Mapping[str, Any]) -> list[str]:
    # One command may have measured several tasks.
    made = [*(result.content for result in results), compared]
    commands = dict.fromkeys(str(each["command"]) for each in made if "command" in each)
    return [html.code("\n".join(commands))] if commands else []


def _versions(results: Sequence[Result]) -> str:
    """Return each version once, or all that occur where runs differ."""
    found: dict[str, dict[str, None]] = {}
    for result in results:
        for name, version in result.content.get("versions", {}).items():
            found.setdefault(name, {})[str(version)] = None
    return " · ".join(f"{name} {' and '.join(each)}" for name, each in found.items())


def _limits(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{low:.4g} to {high:.4g}" if math.isfinite(high - low) else "not known"
