"""Results of ``dense-cl evaluate``, read back, and refused where they cannot be compared."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dense_cl.errors import DenseCLError

_SEED = re.compile(r"[-_.]?seed[-_]?\d+", re.IGNORECASE)
_PLAIN_STEMS = ("backbone", "checkpoint", "model", "weights")  # names that say nothing


@dataclass(frozen=True)
class Result:
    """One result file.

    Attributes:
        file: where it is.
        method: what is compared.
        task: what it was evaluated on; results of one task must be comparable.
        seed: of the run.
        scores: numbers by name; nested names are joined with dots.
        records: values of each image, by its name.
        content: everything in the file.
    """

    file: Path
    method: str
    task: str
    seed: int
    scores: Mapping[str, float]
    records: Mapping[str, Mapping[str, Any]]
    content: Mapping[str, Any]


def read_results(runs: Sequence[str]) -> list[Result]:
    """Read result files and folders of them, and check that they can be compared.

    Args:
        runs: each ``PATH``, ``METHOD=PATH`` or ``METHOD@TASK=PATH``. Without a method it is the
            backbone's name in the file, less its seed: the folder of ``backbone.pth``, or the
            file's own name. TASK tells apart several data sets of one kind of task.

    Raises:
        DenseCLError: nothing to read, not a result, the same run twice, other data or settings.
    """
    results = [result for run in runs for result in _read(run)]
    tasks: dict[str, list[Result]] = {}
    for result in results:
        tasks.setdefault(result.task, []).append(result)
    for same in tasks.values():
        _check_distinct(same)
        for other in same[1:]:
            _check_comparable(same[0], other)
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
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))
    results = [result for file in files for result in _parse(file, label, path.is_file())]
    if not results:
        raise DenseCLError(f"folder '{place}' holds no result of 'dense-cl evaluate'.")
    return results


def _parse(file: Path, label: str, needed: bool) -> Iterable[Result]:
    """Yield the result in a file; other JSON files of a folder are passed over."""
    try:
        text = file.read_text(encoding="utf-8")
        content = {} if not needed and _is_log(text) else json.loads(text)
    except (OSError, ValueError) as error:
        raise DenseCLError(f"'{file}' cannot be read as JSON: {error}") from None
    wanted = ("task", "backbone", "seed", "scores", "settings")
    missing = [key for key in wanted if not isinstance(content, dict) or key not in content]
    if missing:
        if needed:
            raise DenseCLError(
                f"'{file}' is not a result that can be compared: it has no {', '.join(missing)}. "
                "Evaluate again with 'dense-cl evaluate' of this version."
            )
        return
    scores = {name: value for name, value in flat(content["scores"]) if _number(value)}
    if not scores:
        raise DenseCLError(f"'{file}' has no scores.")
    records: dict[str, dict[str, Any]] = {}
    for record in content.get("records") or []:
        image = str(record.get("image"))
        if image in records:
            raise DenseCLError(f"'{file}' has two records of image '{image}'.")
        records[image] = dict(flat(record))
    method, _, task = label.partition("@")
    yield Result(
        file,
        method or method_of(str(content["backbone"])),
        task or str(content["task"]),
        int(content["seed"]),
        scores,
        records,
        content,
    )


def _is_log(text: str) -> bool:
    """Whether a text is JSON lines, as training writes what it logs."""
    lines = text.splitlines()[:2]
    return len(lines) == 2 and all(line.startswith("{") and line.endswith("}") for line in lines)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield (dotted name, value) of nested mappings."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def method_of(backbone: str) -> str:
    """Return the name of the method from that of a backbone: what is left without its seed."""
    path = Path(backbone)
    if not path.suffix:
        return backbone
    name = path.stem if path.stem not in _PLAIN_STEMS else path.parent.name
    return _SEED.sub("", name) or name or backbone


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


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


def _check_comparable(first: Result, other: Result) -> None:
    """Refuse results that differ in anything but backbone and seed."""
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
    if first.records and other.records and set(first.records) != set(other.records):
        odd = sorted(set(first.records) ^ set(other.records))
        raise DenseCLError(
            f"'{other.file}' cannot be compared with '{first.file}': they were scored on other "
            f"images ({len(odd)} are in one of them only, for example '{odd[0]}'). Evaluate on the "
            "same images, or tell different tasks apart with METHOD@TASK=PATH."
        )
