"""A folder of images and a folder of label masks, read as pairs."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.data_identity import identity
from dense_cl.evaluation.pictures import Pictures
from dense_cl.paths import files_below
from dense_cl.sources.files import IMAGE_EXTENSIONS, FileSource, load_image

_MASK_SUFFIXES = {".png", ".bmp", ".tif", ".tiff"}
_MASK_MODES = {"1", "L", "P", "I", "I;16"}
VOID = -1


@dataclass(frozen=True)
class MaskFolders:
    """Pairs ``images/<name>.jpg`` and ``masks/<name>.png`` (nested folders are matched too).

    A mask is a single-channel image as large as its photo; a pixel's value is its class.

    Attributes:
        images: folder of photos.
        masks: folder of masks.
        pairs: (image file, mask file), sorted by name.
        num_classes: valid classes are 0 .. num_classes - 1.
        ignore: values of void pixels, which are neither learnt nor scored.
    """

    images: Path
    masks: Path
    pairs: tuple[tuple[Path, Path], ...]
    num_classes: int
    ignore: frozenset[int]

    @classmethod
    def find(
        cls, images: str | Path, masks: str | Path, num_classes: int, ignore: Sequence[int] = ()
    ) -> "MaskFolders":
        """Match the files of two folders by name.

        Raises:
            DenseCLError: a folder is missing or holds no images, or an image has no mask.
        """
        images, masks = Path(images).expanduser(), Path(masks).expanduser()
        image_files = _files(images, IMAGE_EXTENSIONS, "images")
        mask_files = _files(masks, _MASK_SUFFIXES, "masks")
        missing = [str(name) for name in image_files if name not in mask_files]
        if missing:
            raise DenseCLError(
                f"{len(missing)} of {len(image_files)} images in '{images}' have no mask of the "
                f"same name in '{masks}', for example '{missing[0]}.png'. Add the masks, or move "
                "these images away."
            )
        pairs = tuple((file, mask_files[name]) for name, file in image_files.items())
        return cls(images, masks, pairs, num_classes, frozenset(ignore))

    def __len__(self) -> int:
        return len(self.pairs)

    def pictures(self, size: tuple[int, int]) -> Pictures:
        """Return the photos resized to (height, width)."""
        return Pictures(FileSource("", map(str, self.files())), "whole", size)

    def name(self, index: int) -> str:
        """Return what results call a photo: its path below ``images``, everywhere the same."""
        return str(self.pairs[index][0].relative_to(self.images))

    def files(self) -> list[Path]:
        """Return the photos."""
        return [image for image, _ in self.pairs]

    def identity(self) -> str:
        """Return 16 hexadecimal digits over the names of the photos and the files of masks."""
        masks = (hashlib.sha256(mask.read_bytes()).hexdigest() for _, mask in self.pairs)
        return identity(f"{self.name(i)} {mask}" for i, mask in enumerate(masks))

    def check(self) -> set[int]:
        """Read every photo and mask, so that a wrong one is named before long work.

        Returns:
            The classes that occur.

        Raises:
            DenseCLError: see ``labels``; or all pixels are void.
        """
        pixels = torch.zeros(self.num_classes - VOID, dtype=torch.int64)  # void ones come first
        for index in range(len(self)):
            values = self.labels(index).flatten().int() - VOID
            pixels += values.bincount(minlength=len(pixels))
        found = set(pixels[-VOID:].nonzero().flatten().tolist())
        if not found:
            raise DenseCLError(
                f"no pixel of the masks in '{self.masks}' is labelled: all are ignored"
                f" ({sorted(self.ignore)}). Is --ignore right?"
            )
        return found

    def labels(self, index: int) -> Tensor:
        """Return the classes of photo ``index`` at full size: (h, w) int16, void = -1.

        Raises:
            DenseCLError: see ``values``; or the mask holds a value that is neither a class nor
                ignored.
        """
        return self._classes(self.values(index), self.pairs[index][1])

    def values(self, index: int) -> np.ndarray:
        """Return the mask of photo ``index`` as its file has it: (h, w) int64.

        Raises:
            DenseCLError: the photo or the mask is unreadable, or the mask is coloured or of another
                size than its photo.
        """
        image_file, mask_file = self.pairs[index]
        try:
            with Image.open(mask_file) as picture:
                mode, values = picture.mode, np.array(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise DenseCLError(f"mask '{mask_file}' cannot be read: {error}") from error
        if mode not in _MASK_MODES:
            raise DenseCLError(
                f"mask '{mask_file}' is a {mode} picture; a mask has one channel whose values "
                "are class indices. Convert the colours to indices first."
            )
        height, width = load_image(image_file).shape[:2]
        if values.shape != (height, width):
            raise DenseCLError(
                f"mask '{mask_file}' is {values.shape[1]}x{values.shape[0]} but its image "
                f"'{image_file}' is {width}x{height}. They must be equally large."
            )
        return values.astype(np.int64)

    def _classes(self, values: np.ndarray, file: Path) -> Tensor:
        void = np.isin(values, list(self.ignore))
        wrong = values[~void & ((values < 0) | (values >= self.num_classes))]
        if wrong.size:
            raise DenseCLError(
                f"mask '{file}' holds the value {wrong[0]}, which is neither one of the classes "
                f"0..{self.num_classes - 1} nor ignored ({sorted(self.ignore)}). Add it to "
                "--ignore if it means void; else name it in --classes or raise --num-classes."
            )
        return torch.from_numpy(np.where(void, VOID, values).astype(np.int16))


def check_sets(sets: Mapping[str, MaskFolders], progress: Callable[[str], None]) -> None:
    """Check the masks of all sets, and that they are of the same classes.

    A small training set may lack rare classes, which are then said and scored as never found.

    Args:
        sets: by what messages call them, ``training`` among them.
        progress: called with a line of text for each, and for classes that cannot be learnt.

    Raises:
        DenseCLError: see ``MaskFolders.check``; the sets count classes or void values differently;
            or no class of a set has a training pixel.
    """
    known = sets["training"]
    for what, folders in sets.items():
        if (folders.num_classes, folders.ignore) != (known.num_classes, known.ignore):
            raise DenseCLError(
                f"the {what} masks have {folders.num_classes} classes and void values"
                f" {sorted(folders.ignore)}, the training masks {known.num_classes} and"
                f" {sorted(known.ignore)}: give both sets the same."
            )
    found: dict[str, set[int]] = {}
    for what, folders in sets.items():
        progress(f"checking {len(folders)} {what} masks")
        found[what] = folders.check()
    for what, classes in found.items():
        unknown = sorted(classes - found["training"])
        values = ", ".join(map(str, unknown))
        if unknown and classes.isdisjoint(found["training"]):
            raise DenseCLError(
                f"the {what} masks in '{sets[what].masks}' hold only the classes {values}, of which"
                f" the training masks in '{sets['training'].masks}' have none: the two sets do not"
                " belong together, or number their classes differently."
            )
        if unknown:
            progress(f"warning: {what} has classes without any training pixel: {values}")


def _files(folder: Path, suffixes: Collection[str], what: str) -> dict[Path, Path]:
    """Map each file's path under ``folder``, without suffix, to the file."""
    if not folder.is_dir():
        raise DenseCLError(
            f"folder of {what} '{folder}' does not exist. Give the folder that holds them."
        )
    found: dict[Path, Path] = {}
    for file in sorted(
        folder / name for name in files_below(folder, tuple(suffixes), repeated=True)
    ):
        other = found.setdefault(file.relative_to(folder).with_suffix(""), file)
        if other != file:
            raise DenseCLError(
                f"'{other}' and '{file}' have the same name but for the suffix, so which of them"
                f" is meant is not known. Rename or remove one of the {what}."
            )
    if not found:
        raise DenseCLError(
            f"folder of {what} '{folder}' holds none ({', '.join(sorted(suffixes))})."
        )
    return found
