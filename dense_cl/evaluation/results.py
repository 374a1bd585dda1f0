"""What every task of ``dense-cl evaluate`` writes: scores, and what they are made of by image.

``records`` has an object for each image (for few-shot, for each episode) with its name under
``image``. A score is the mean of the field of the same name, or, for the scores of
``SegmentationScores``, follows from the sum of the matrices under ``confusion``: the entries that
are not 0, as [true class, predicted class, count].
"""

import errno
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dense_cl.engine.state import versions
from dense_cl.errors import DenseCLError
from dense_cl.transfer.weights_file import replacing

_LIBRARIES = ("timm", "numpy", "scipy", "PIL", "cv2", "mmcv", "mmdet", "mmseg")


def make_result(
    task: str,
    backbone: str,
    seed: int,
    scores: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """Return plain values ready for JSON.

    ``scores`` are numbers by name, perhaps nested; ``more`` is what only this task has.
    """
    return {
        "task": task,
        "backbone": backbone,
        "seed": seed,
        "scores": dict(scores),
        **more,
        "settings": dict(settings),
        "versions": library_versions(),
        "records": list(records),
    }


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that a result was made with."""
    found = {name: str(sys.modules[name].__version__) for name in _LIBRARIES if name in sys.modules}
    if "pycocotools" in sys.modules:  # which does not say itself
        found["pycocotools"] = version("pycocotools")
    return versions() | found


def check_writable(file: str | Path) -> None:
    """Check, before long work, that a file can be written; make its folder.

    Raises:
        DenseCLError: it is a folder, or its folder cannot be made or written to.
    """
    path = Path(file).expanduser()
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise DenseCLError(
            f"'{file}' cannot be written ({error.strerror}). Name a file in a folder that can be "
            "written to."
        ) from None


def write_result(result: Mapping[str, Any], file: str | Path) -> None:
    """Write a result as JSON, whole or not at all, with one record a line.

    Raises:
        DenseCLError: the file cannot be written, or something in the result is no plain value.
    """
    check_writable(file)
    rest = {name: value for name, value in result.items() if name != "records"}
    text = json.dumps(_plain(rest), indent=2)
    if "records" in result:
        records = (json.dumps(_plain(record)) for record in result["records"])
        lines = ",\n".join(f"    {record}" for record in records)
        text = text.removesuffix("\n}") + ',\n  "records": [\n' + lines + "\n  ]\n}"
    with replacing(Path(file).expanduser()) as temporary:
        temporary.write_text(text + "\n")


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: NumPy's as Python's, and null for what is no number."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise DenseCLError(f"a {type(value).__name__} in a result cannot be written as JSON.")


def sparse(counts_KC: Tensor) -> list[list[int]]:
    """Return the entries of a matrix that are not 0, as [row, column, count]."""
    places = torch.nonzero(counts_KC)
    values = counts_KC[places[:, 0], places[:, 1]]
    return torch.cat([places, values[:, None]], dim=1).tolist()


def counts_by_class(result: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return what the scores of confusion matrices are made of, of all records: (N, 3, K).

    Of each class its hits, its pixels, and the pixels predicted as it: the matrices themselves
    would be 0.5 GB for the 6,149 test images of 102 classes of flowers.

    Raises:
        DenseCLError: the result has none, does not say of how many classes, or has others.
    """
    records = result.get("records") or []
    if not records or "confusion" not in records[0]:
        raise DenseCLError(
            f"the result of {result.get('task', 'an unknown task')} has no confusion matrices by "
            "image; 'dense-cl evaluate segmentation' and the other dense tasks write them."
        )
    if "classes" not in result["settings"]:
        raise DenseCLError(
            f"the result of {result.get('task', 'an unknown task')} has confusion matrices, but its"
            " settings do not say how many 'classes' there are."
        )
    classes = int(result["settings"]["classes"])
    counts = np.zeros((len(records), 3, classes), dtype=np.int64)
    for number, record in enumerate(records):
        entries = np.array(record["confusion"], dtype=np.int64).reshape(-1, 3)
        truth, predicted, count = entries.T
        if entries.size and not 0 <= entries[:, :2].min() <= entries[:, :2].max() < classes:
            raise DenseCLError(
                f"the confusion matrix of '{record['image']}' has classes beyond the {classes} that"
                " the settings say."
            )
        right = truth == predicted
        np.add.at(counts[number, 0], truth[right], count[right])
        np.add.at(counts[number, 1], truth, count)
        np.add.at(counts[number, 2], predicted, count)
    return counts
