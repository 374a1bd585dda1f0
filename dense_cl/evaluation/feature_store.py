"""Features on disk.

A cache folder holds a folder for each request, named by a hash of all that decides the features:
weights, layers and normalisation of the backbone; the images; how they are prepared; which stages;
the source of the code that does it; the libraries and the kind of device. So nothing in it is ever
stale, and it can be deleted at any time. In it lie parts of the images, each renamed into its place
when it is complete: a killed run goes on with the first part that is missing.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import torch
from numpy.typing import NDArray

import dense_cl
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.transfer.weights_file import replacing

# The code that decides features, under dense_cl/: when it changes, so does the cache.
_CODE = (
    "evaluation/features.py", "evaluation/frozen.py", "evaluation/pictures.py",
    "evaluation/classifier_training.py", "evaluation/class_scores.py", "evaluation/confusion.py",
    "evaluation/labelled_images.py", "evaluation/keypoint_objects.py",
    "evaluation/invariance/image_sets.py", "evaluation/invariance/transforms.py", "sources",
    "sources/synthetic", "views/crops.py", "models/backbones", "models/norm.py",
    "models/standardized.py",
)  # fmt: skip


def request(backbone: FrozenBackbone, what: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that decides the features.

    Args:
        backbone: frozen.
        what: plain values that say of which images, as they are now, and which features.
    """
    return {
        "backbone": backbone.fingerprint,
        **what,
        "code": _code_fingerprint(),
        # Of what reads and resizes images and runs backbones. Our own is in the code, and MMEngine
        # has no part in it: not those of a result (``engine.state.versions``).
        "versions": {
            "torch": str(torch.__version__),
            "torchvision": version("torchvision"),  # importing it takes a second, and timm
            "timm": version("timm"),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pillow": PIL.__version__,
        },
        "device": backbone.mean.device.type,
    }


def _code_fingerprint() -> str:
    root, digest = Path(dense_cl.__file__).parent, hashlib.sha256()
    for name in _CODE:
        place = root / name
        for file in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class FeatureStore:
    """The parts of one request."""

    def __init__(self, cache: str | Path, request: dict[str, Any]) -> None:
        text = json.dumps(request, indent=2) + "\n"
        self.folder = Path(cache).expanduser() / hashlib.sha256(text.encode()).hexdigest()[:16]
        note = self.folder / "request.json"  # for people who wonder what the folder is
        if not note.exists():
            self._write(note, lambda file: file.write_text(text))

    def read(self, start: int) -> list[NDArray[np.float32]] | None:
        """Return a part; None if it is missing or damaged, so that it is computed (again)."""
        try:
            with np.load(self._path(start), allow_pickle=False) as archive:
                return [archive[name] for name in sorted(archive.files)]
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None

    def write(self, start: int, arrays: list[NDArray[np.float32]]) -> None:
        """Keep a part.

        Raises:
            DenseCLError: the disk is full, or not ours to write on.
        """
        parts: dict[str, Any] = {f"{i:03d}": array for i, array in enumerate(arrays)}
        self._write(self._path(start), lambda file: np.savez(file, **parts))

    def _write(self, file: Path, write: Callable[[Path], Any]) -> None:
        try:
            with replacing(file) as temporary:
                write(temporary)
        except OSError as error:
            raise DenseCLError(
                f"cache '{self.folder.parent}' cannot be written ({error.strerror or error})."
                " Choose another folder with --cache, or --no-cache."
            ) from None

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:09d}.npz"
