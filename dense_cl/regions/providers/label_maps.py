"""Label maps that somebody has drawn."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dense_cl.errors import DenseCLError
from dense_cl.regions.provider import (
    IndexedProvider,
    as_label_map,
    options_identity,
    relative_names,
)
from dense_cl.regions.regions import ImageRegions, fits
from dense_cl.registry import REGIONS
from dense_cl.sources.base import ImageSource
from dense_cl.sources.files import PackedStrings

_MODES = {"1", "L", "P", "I", "I;16"}


@REGIONS.register_module()
class LabelMaps(IndexedProvider):
    """A folder of index PNGs, named and nested as the images are: label map.

    Each value of a PNG is one region, wherever it appears; ids are the ranks of the values in
    their image. A map may be smaller than its photo, and covers all of it.

    Args:
        root: the folder: ``root/a/b.png`` belongs to the image ``a/b.jpg`` of the source.
        none: values that mean "no region".
    """

    cacheable = False

    def __init__(self, root: str, none: Sequence[int] = (255,)) -> None:
        self.root = os.path.expanduser(root)
        self.none = sorted(none)
        self._files: PackedStrings | None = None

    def settings(self) -> dict[str, Any]:
        """Return the options."""
        return {"type": "LabelMaps", "root": self.root, "none": self.none}

    def identity(self) -> str:
        """Return 16 hexadecimal digits over the options and the content of maps."""
        return options_identity({"type": "LabelMaps", "none": self.none}, self._files or ())

    def bind(self, source: ImageSource) -> None:
        """Find the PNG of every image."""
        names = relative_names(source, self)
        files = [os.path.join(self.root, f"{os.path.splitext(name)[0]}.png") for name in names]
        missing = [file for file in files if not os.path.isfile(file)]
        if missing:
            raise DenseCLError(
                f"regions LabelMaps: {len(missing)} of {len(files)} images have no label map, for"
                f" example '{missing[0]}'. Add them, or train on the other images."
            )
        self._files = PackedStrings(files)

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Read the label map of one image."""
        assert self._files is not None, "bind comes first"
        file = self._files[index]
        try:
            with Image.open(file) as picture:
                mode, values = picture.mode, np.array(picture).astype(np.int64)
        except (OSError, SyntaxError, ValueError) as error:
            raise DenseCLError(f"label map '{file}' cannot be read: {error}") from None
        if mode not in _MODES:
            raise DenseCLError(
                f"label map '{file}' is a {mode} picture; its pixels must be indices of regions, in"
                " one channel"
            )
        if not fits(values.shape, image.shape[:2]):
            raise DenseCLError(
                f"label map '{file}' is {values.shape[1]}x{values.shape[0]} pixels and its image"
                f" {image.shape[1]}x{image.shape[0]}, which is another aspect ratio. Is the photo"
                " turned by its EXIF tag? Then turn the map as well."
            )
        known = ~np.isin(values, self.none)
        labels = np.full(values.shape, -1, dtype=np.int64)
        labels[known] = np.unique(values[known], return_inverse=True)[1]
        return ImageRegions(as_label_map(labels))
