"""Results of ``dense-cl evaluate``, read back, and refused where they cannot be compared."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dense_cl.errors import DenseCLError
from dense_cl.paths import files_below
from dense_cl.report.compare_file import Result, flat, parse


def read_results(runs: Sequence[str | Path] | str | Path) -> list[Result]:
    """Read result files and folders of them, and check that they can be compared.

    Args:
        runs: one or several ``PATH``, ``METHOD=PATH`` or ``METHOD@TASK=PATH``. Without a method
            it is the backbone's name in the file, less its seed: the folder of ``backbone.pth``,
            or the file's own name. TASK tells apart several data sets of one kind of task.

    Raises:
        DenseCLError: nothing to read, not a result, the same run twice, other data or settings.
    """
    each = [runs] if isinstance(runs, str | Path) else runs
    results = [result for run in each for result in _read(str(run))]
    tasks: dict[str, list[Result]] = {}
    for result in results:
        tasks.setdefault(result.task, []).append(result)
    for same in tasks.values():
        _check_distinct(same)
        for other in same[1:]:
            _check_settings(same[0], other)
        recorded = [result for result in same if result.records]
        for other in recorded[1:]:
            _check_images(recorded[0], other)
    return results


def _read(run: str) -> Iterable[Result]:
    label, equals, place = run.partition("=")
    if not equals or Path(run).exists():
        label, place = "", run
    path = Path(place).expanduser()
    if not path.exists():
        raise DenseCLError(
            f"'{place}' does not exist. Give results of 'dense-cl evaluate ... --out FILE', or "
            "folders of them, as PATH or METHOD=PATH."
        )
    # Hidden ones, left out, are what a killed command had not finished.
    files = [path] if path.is_file() else sorted(path / n for n in files_below(path, (".json",)))
    results = [result for file in files for result in parse(file, label, path.is_file())]
    if not results:
        raise DenseCLError(f"folder '{place}' holds no result of 'dense-cl evaluate'.")
    return results


def _check_distinct(results: Sequence[Result]) -> None:
    seen: dict[tuple[str, int], Path] = {}
    for result in results:
        first = seen.setdefault((result.method, result.seed), result.file)
        if first is result.file:
            continue
        if first.resolve() == result.file.resolve():
            raise DenseCLError(
                f"'{result.file}' was given twice as {result.method} on {result.task}. Give it "
                "once; to compare it with itself, give two names: A=PATH B=PATH."
            )
        raise DenseCLError(
            f"'{first}' and '{result.file}' are both {result.method} on {result.task} with "
            f"seed {result.seed}. If they are different runs, evaluate them with --seed of "
            "their pretraining; if they are different methods, write METHOD=PATH; if the "
            "data differ, METHOD@TASK=PATH."
        )


def _check_settings(first: Result, other: Result) -> None:
    """Refuse results whose settings differ in anything but the seed."""
    mine, theirs = (
        {k: v for k, v in flat(result.content["settings"]) if k.split(".")[-1] != "seed"}
        for result in (first, other)
    )
    for key in dict.fromkeys((*mine, *theirs)):
        if mine.get(key) != theirs.get(key):
            raise DenseCLError(
                f"'{other.file}' cannot be compared with '{first.file}': its setting {key} is "
                f"{theirs.get(key, 'absent')!r} instead of {mine.get(key, 'absent')!r}. Evaluate "
                "one of them again, or tell different tasks apart with METHOD@TASK=PATH."
            )


def _check_images(first: Result, other: Result) -> None:
    """Refuse results whose records are of other images."""
    if set(first.records) != set(other.records):
        odd = sorted(set(first.records) ^ set(other.records))
        raise DenseCLError(
            f"'{other.file}' cannot be compared with '{first.file}': they were scored on other "
            f"images ({len(odd)} are in one of them only, for example '{odd[0]}'). Evaluate on the "
            "same images, or tell different tasks apart with METHOD@TASK=PATH."
        )
    for name, record in first.records.items():
        if _truth(record) != _truth(other.records[name]):
            raise DenseCLError(
                f"'{other.file}' cannot be compared with '{first.file}': '{name}' has other labels"
                " in it. Evaluate with the same labels, or tell different tasks apart with"
                " METHOD@TASK=PATH."
            )


def _truth(record: Mapping[str, Any]) -> Any:
    """Return what a record says of the labels of its image, whatever was predicted."""
    counts: Counter[int] = Counter()
    for truth, _, count in record.get("confusion", ()):
        counts[truth] += count
    for number, _, right, _, missed in record.get("segments", ()):
        counts[number] += right + missed
    objects = [record[key] for key in ("bbox.truths", "segm.truths") if key in record]
    return +counts or objects or record.get("labels")
