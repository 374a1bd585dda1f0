"""``dense-cl compare``: which of several methods transfers better, with uncertainty, as a page."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from dense_cl.errors import DenseCLError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="result of 'dense-cl evaluate ... --out', or a folder of them: PATH, METHOD=PATH, or "
        "METHOD@TASK=PATH where results of one kind of task are of several data sets",
    )
    parser.add_argument("--out", metavar="HTML", help="page to write")
    parser.add_argument("--json", metavar="FILE", help="where to write the same as numbers")
    parser.add_argument("--control", metavar="METHOD", help="to compare with (the first)")
    parser.add_argument(
        "--scores", nargs="+", default=[], metavar="NAME", help="to compare (the first of a task)"
    )
    parser.add_argument(
        "--alpha", type=float, default=0.05, help="chance of any false claim on the page (0.05)"
    )


def run(args: argparse.Namespace) -> int:
    """Compare, print the verdicts, and write page and numbers."""
    from dense_cl.commands.evaluate_options import progress
    from dense_cl.evaluation.results import check_writable
    from dense_cl.report import html
    from dense_cl.report.compare import compare
    from dense_cl.report.compare_page import comparison_page
    from dense_cl.report.compare_results import read_results

    if not 0.001 <= args.alpha < 1:  # quantiles of few seeds are inexact far out
        raise DenseCLError(f"--alpha {args.alpha} is a probability: 0.001 or more, less than 1.")
    for file in (args.out, args.json):
        if file:
            check_writable(file)
    results = read_results(args.runs)
    compared = compare(results, args.control, args.scores, args.alpha, progress)
    compared["command"] = args.command_line
    for entry in compared["tasks"]:
        print(f"{entry['task']}, {entry['score']}")
        for method in entry["methods"]:
            seeds = f"{len(method['seeds'])} seeds" if len(method["seeds"]) > 1 else "1 seed"
            low, high = method["interval"]
            limits = f"{low:.4g} to {high:.4g}" if math.isfinite(high - low) else "not known"
            print(f"  {method['method']:24} {method['mean']:9.4g}  ({limits}; {seeds})")
        for each in entry["comparisons"]:
            print(f"  {each['verdict']}")
    for note in compared["notes"]:
        print(note)
    if args.json:
        _write(Path(args.json), compared | {"runs": [_told(result) for result in results]})
    if args.out:
        print(f"{html.save(comparison_page(compared, results), args.out)} shows it")
    return 0


def _told(result: Any) -> dict[str, Any]:
    content = result.content
    return {
        "file": str(result.file),
        "method": result.method,
        "task": result.task,
        "seed": result.seed,
        **{
            key: content[key]
            for key in ("backbone", "command", "settings", "versions")
            if key in content
        },
    }


def _write(file: Path, content: dict[str, Any]) -> None:
    # Infinite limits, where nothing is known, are not JSON.
    text = json.dumps(_finite(content), indent=2, allow_nan=False)
    file.expanduser().write_text(text + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
