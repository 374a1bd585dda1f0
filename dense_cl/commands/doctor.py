"""``dense-cl doctor``: what is installed, which operators are used, and what is wrong."""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings here as well")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 when something is wrong."""
    from dense_cl.doctor import examine

    report = examine()
    print(f"python {report.python} on {report.platform}")
    sections = [
        ("packages", report.packages),
        ("devices", report.devices),
        ("mmcv operators", report.operators),
    ]
    for title, rows in sections:
        print(f"\n{title}")
        for name, value in rows.items():
            print(f"  {name:26} {', '.join(value) or 'none' if isinstance(value, list) else value}")
    print(f"\n{len(report.problems) or 'no'} problem{'s' * (len(report.problems) != 1)} found")
    for problem in report.problems:
        print(f"  - {problem.what}\n    mend: {problem.mend}")
    if args.json:
        args.json.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    return 1 if report.problems else 0
