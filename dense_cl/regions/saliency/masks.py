"""Saliency maps that are files already."""

import logging
import os
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from mmengine.logging import print_log
from numpy.typing import NDArray
from PIL import Image

from dense_cl.errors import DenseCLError
from dense_cl.regions.provider import IndexedProvider, options_identity, require
from dense_cl.regions.saliency.mask_files import SUFFIXES, find_masks, mask_names
from dense_cl.regions.saliency.provider import SaliencyProvider
from dense_cl.registry import REGIONS
from dense_cl.sources.base import ImageSource
from dense_cl.sources.files import PackedStrings

_MODES = {"1", "L"}
_LISTED = 20
ERROR, NOTHING = "error", "nothing"


@REGIONS.register_module()
@dataclass(frozen=True)
class SaliencyMasks(SaliencyProvider, IndexedProvider):
    """A folder of grey maps, one an image, as DeepUSPS or ``dense-cl saliency --maps`` write them.

    ``root/a/b.png`` (or ``.jpg``, ``.jpeg``) belongs to the image ``a/b.jpg`` of the source, and
    to no other. 0 is not salient, 255 is. A map may be smaller or larger than its photo, if its
    sides have the same ratio within a pixel. One that is 0 everywhere says that nothing is salient,
    one that is 255 everywhere that all is; in one of 0 and 1 alone, 1 counts as 255.

    What is given is taken at its word, unlike what the other providers guess: the middle of the
    scale is the threshold (released CAST ``moco/datasets.py`` takes what is above 128, here 128
    itself counts), and no object is too small or too large. For maps of ``--maps`` give the three
    options of their provider, which ``saliency.json`` has: then the objects are the same.

    Attributes:
        root: the folder.
        threshold: see ``SaliencyProvider``.
        min_share: see ``SaliencyProvider``.
        max_share: see ``SaliencyProvider``.
        missing: what to do about images whose mask is missing or an empty file: ``'error'``, or
            ``'nothing'``: in them nothing is salient; they are counted, and named in the log, when
            the source is bound. A mask that cannot be read or has another shape is always an error.
        lacking: names of those images, after ``bind``.
    """

    root: str
    threshold: str | float = field(default=0.5, kw_only=True)
    min_share: float = field(default=0.0, kw_only=True)
    max_share: float = field(default=1.0, kw_only=True)
    missing: str = ERROR
    lacking: tuple[str, ...] = field(default=(), init=False, repr=False, compare=False)
    _files: PackedStrings = field(default=PackedStrings([]), init=False, repr=False, compare=False)

    cacheable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "root", os.path.expanduser(self.root))
        require(self.missing in (ERROR, NOTHING), self, f"missing is '{ERROR}' or '{NOTHING}'")

    def settings(self) -> dict[str, Any]:
        """Return the options."""
        options = ("root", "missing", "threshold", "min_share", "max_share")
        return {"type": "SaliencyMasks", **{name: getattr(self, name) for name in options}}

    def identity(self) -> str:
        """Return 16 hexadecimal digits over the options and the content of masks."""
        options = {key: value for key, value in self.settings().items() if key != "root"}
        files = [os.path.join(self.root, name) if name else "" for name in self._files]
        return options_identity(options, files)

    def bind(self, source: ImageSource) -> None:
        """Find the mask of every image.

        Raises:
            DenseCLError: masks are missing or empty and ``missing`` is ``'error'``; two files, or
                two images, claim each other.
        """
        names = mask_names(source, self)
        found, others = find_masks(self.root, names)
        lacking = tuple(name for name in names if name not in found)
        if lacking:
            strangers = (
                f" {len(others)} masks belong to no image, for example '{others[0]}': are they"
                " misnamed?"
                if others
                else ""
            )
            text = f"{len(lacking)} of {len(names)} images have no mask in '{self.root}', or an"
            if self.missing == ERROR:
                raise DenseCLError(
                    f"regions SaliencyMasks: {text} empty one, for example of '{lacking[0]}'"
                    f" ({', '.join(SUFFIXES)}).{strangers} Add them, or set missing='{NOTHING}'."
                )
            listed = ", ".join(lacking[:_LISTED]) + (", ..." if len(lacking) > _LISTED else "")
            print_log(
                f"saliency masks: {text} empty one, and count as having nothing salient:"
                f" {listed}.{strangers}",
                logger="current",
                level=logging.WARNING,
            )
        # Frozen for its options; what it knows of a source is not one of them.
        object.__setattr__(self, "lacking", lacking)
        object.__setattr__(self, "_files", PackedStrings(found.get(name, "") for name in names))

    def saliency(self, image: NDArray[np.uint8], index: int) -> NDArray[np.float32]:
        """Read the map of one image; zeros where there is none.

        Raises:
            DenseCLError: it cannot be read, has colours, or another shape than the photo.
        """
        name = self._files[index]
        if not name:
            return np.zeros(image.shape[:2], dtype=np.float32)
        values = _read(os.path.join(self.root, name))
        (height, width), (rows, columns) = image.shape[:2], values.shape
        off = min(abs(rows * width / height - columns), abs(columns * height / width - rows))
        if off > 1:
            raise DenseCLError(
                f"mask '{os.path.join(self.root, name)}' has {columns}x{rows} pixels, another shape"
                f" than its photo of {width}x{height}. Is it the mask of another image? Otherwise"
                " resize it."
            )
        white = 1 if values.max() == 1 else 255
        return np.divide(values, white, dtype=np.float32)


def _read(file: str) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as picture:
            mode, values = picture.mode, np.array(picture.convert("L"))
    except Exception as error:  # Pillow's plugins let any exception escape on malformed input
        raise DenseCLError(f"mask '{file}' cannot be read: {error}") from None
    if mode not in _MODES:
        raise DenseCLError(
            f"mask '{file}' is a {mode} picture; a saliency map has one channel of 8 bits."
        )
    return values
