"""One file of ``dense-cl evaluate``, read back."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dense_cl.errors import DenseCLError

_SEED = re.compile(r"[-_.]?seed[-_]?\d+", re.IGNORECASE)
# Names that say nothing of a method, also together ('model_final', 'checkpoint_0199').
_PLAIN_WORD = (
    r"(backbone|best|checkpoints?|ckpt|epoch|final|iter|last|latest|model|step|weights|\d+)"
)
_PLAIN_STEM = re.compile(rf"{_PLAIN_WORD}([-_.]?{_PLAIN_WORD})*", re.IGNORECASE)
# Rows of what records hold besides scores, and how many numbers are in one.
_WIDTHS = {
    "confusion": 3,
    "segments": 5,
    "bbox.found": 4,
    "bbox.truths": 2,
    "segm.found": 4,
    "segm.truths": 2,
}


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


def parse(file: Path, label: str, needed: bool) -> Iterable[Result]:
    """Yield the result in a file, if it is one.

    Args:
        file: JSON.
        label: ``METHOD``, ``METHOD@TASK`` or nothing.
        needed: whether it has to be a result; other JSON files of a folder are passed over.

    Raises:
        DenseCLError: it cannot be read, or something in it is not what it should be.
    """
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
    wrong = _malformed(content)
    if wrong:
        raise DenseCLError(
            f"'{file}' is not a result that can be compared: {wrong}. Evaluate again, or mend the "
            "file; docs/comparing.md has the format."
        )
    scores = {name: value for name, value in flat(content["scores"]) if _number(value)}
    if not scores:
        raise DenseCLError(f"'{file}' has no scores.")
    records: dict[str, dict[str, Any]] = {}
    for record in content.get("records") or []:
        image = str(record["image"])
        if image in records:
            raise DenseCLError(f"'{file}' has two records of image '{image}'.")
        records[image] = dict(flat(record))
        for name, width in _WIDTHS.items():
            if not _are_rows(records[image].get(name, []), width):
                raise DenseCLError(
                    f"'{file}' is not a result that can be compared: {name} of the record of"
                    f" '{image}' is no list of {width} numbers each. Evaluate again."
                )
    method, _, task = label.partition("@")
    method = method or method_of(str(content["backbone"]))
    if not method:
        raise DenseCLError(
            f"'{file}': its backbone '{content['backbone']}' does not say which method it is of."
            " Write METHOD=PATH."
        )
    yield Result(
        file,
        method,
        task or str(content["task"]),
        content["seed"],
        scores,
        records,
        content,
    )


def _malformed(content: Mapping[str, Any]) -> str:
    """Return what is of another type than it should be, or nothing."""
    if type(content["seed"]) is not int:
        return f"its seed is {json.dumps(content['seed'])} and no whole number"
    for key in ("task", "backbone"):
        if not isinstance(content[key], str):
            return f"its {key} is {json.dumps(content[key])} and no text"
    for key in ("scores", "settings", "versions"):
        if not isinstance(content.get(key, {}), Mapping):
            return f"its {key} are no object with names"
    records = content.get("records") or []
    if not isinstance(records, list) or not all(
        isinstance(record, Mapping) and "image" in record for record in records
    ):
        return "its records are no list of objects that name their 'image'"
    for record in records:
        pictures = record.get("pictures", {})
        paths = pictures.values() if isinstance(pictures, Mapping) else [None]
        if not all(isinstance(path, str) for path in paths):
            return f"the pictures of '{record['image']}' are no paths by kind"
    return ""


def _is_log(text: str) -> bool:
    """Whether a text is JSON lines, as training writes what it logs; none yet, too."""
    lines = text.splitlines()[:2]
    return (
        not lines
        or len(lines) == 2
        and all(line.startswith("{") and line.endswith("}") for line in lines)
    )


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield (dotted name, value) of nested mappings."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def method_of(backbone: str) -> str:
    """Return the name of the method from that of a backbone: what is left without its seed.

    ``FILE:ARCH`` is called after FILE, and a file whose name says nothing after the folders it is
    in; '' if they say nothing either.
    """
    head, _, architecture = backbone.rpartition(":")
    path = Path(head if Path(head).suffix and "/" not in architecture else backbone)
    if backbone.startswith("random:") or not path.suffix:
        return backbone
    names = [path.stem, *reversed(path.parts[:-1])]
    left = [_SEED.sub("", name) for name in names if name not in ("..", path.anchor)]
    return next((name for name in left if name and not _PLAIN_STEM.fullmatch(name)), "")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_rows(value: Any, width: int) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == width and all(map(_number, row)) for row in value
    )
