"""Features on disk.

A cache folder holds a folder for each request, named by a hash of all that decides the features:
weights, layers and normalisation of the backbone; the images; how they are prepared; which stages;
the source of the code that does it; torch and the kind of device. So nothing in it is ever stale,
and it can be deleted at any time. In it lie parts of the images, each renamed into its place when
it is complete: a killed run goes on with the first part that is missing.
"""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import dense_cl
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.pictures import Pictures
from dense_cl.transfer.weights_file import replacing

# The code that decides features, under dense_cl/: when it changes, so does the cache.
_CODE = (
    "evaluation/features.py", "evaluation/frozen.py", "evaluation/pictures.py",
    "evaluation/labelled_images.py", "sources/decode.py", "views/crops.py", "models/backbones",
)  # fmt: skip


def request(
    backbone: FrozenBackbone, pictures: Pictures, stages: list[int] | None
) -> dict[str, Any]:
    """Return all that decides the features: stage maps, or vectors if ``stages`` is None."""
    return {
        "backbone": backbone.fingerprint,
        "images": pictures.fingerprint(),
        "count": len(pictures),
        "preparation": pictures.preparation,
        "size": list(pictures.size),
        "stages": stages,
        "code": _code_fingerprint(),
        "torch": str(torch.__version__),
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

    def __init__(self, cache: Path, request: dict[str, Any]) -> None:
        text = json.dumps(request, indent=2) + "\n"
        self.folder = cache / hashlib.sha256(text.encode()).hexdigest()[:16]
        note = self.folder / "request.json"  # for people who wonder what the folder is
        if not note.exists():
            try:
                with replacing(note) as temporary:
                    temporary.write_text(text)
            except OSError as error:
                raise DenseCLError(
                    f"cache '{cache}' cannot be written ({error.strerror}). Choose another folder "
                    "with --cache, or --no-cache."
                ) from None

    def read(self, start: int) -> list[NDArray[np.float32]] | None:
        """Return a part; None if it is missing or damaged, so that it is computed (again)."""
        try:
            with np.load(self._path(start), allow_pickle=False) as archive:
                return [archive[name] for name in sorted(archive.files)]
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None

    def write(self, start: int, arrays: list[NDArray[np.float32]]) -> None:
        """Keep a part."""
        with replacing(self._path(start)) as temporary:
            np.savez(temporary, **{f"{i:03d}": array for i, array in enumerate(arrays)})  # type: ignore[arg-type]

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:09d}.npz"
