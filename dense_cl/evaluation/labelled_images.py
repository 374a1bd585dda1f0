"""Images with one class each: folders by class, or lines of 'path, label' in a text file."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.data_identity import identity
from dense_cl.sources.base import ImageSource, UnreadableImageError
from dense_cl.sources.chain import Chain
from dense_cl.sources.files import FileSource
from dense_cl.sources.folder import FolderSource
from dense_cl.sources.selection import Selection, evenly_spread
from dense_cl.views.crops import crop_and_resize

# Side of the central square that is looked at, as a part of the shorter side of the image: the
# 224 of 256 pixels of the usual evaluation.
_CENTRE = 224 / 256


@dataclass(frozen=True)
class LabelledImages:
    """N images and the name of the class of each.

    Attributes:
        source: the images.
        names: class names, as they are written in the folder or file. Where an image may have
            several, they are joined with ``+``.
    """

    source: ImageSource
    names: tuple[str, ...]

    @classmethod
    def find(cls, path: str | Path, column: int = 1) -> "LabelledImages":
        """Read a folder with a subfolder for each class, or a text file of images and labels.

        A line of the file is a path and one or more labels, with tabs or commas between (``a b.jpg,
        red cat, animal``), or else spaces; relative paths start from the file's folder.
        Blank lines and lines that begin with ``#`` are skipped.

        Args:
            path: folder or text file.
            column: which label of a line counts, 1 for the first after the path.

        Raises:
            DenseCLError: nothing there, a line without such a label, or an image beside the class
                folders.
        """
        place = Path(path).expanduser()
        if place.is_dir():
            return cls._from_folder(place)
        if not place.is_file():
            raise DenseCLError(
                f"labelled images '{path}' do not exist. Give a folder with a subfolder for each "
                "class, or a text file with lines of 'path, label'."
            )
        return cls._from_lines(place, column)

    @classmethod
    def _from_folder(cls, folder: Path) -> "LabelledImages":
        source = FolderSource(folder)
        parts = [Path(source.name(i)).relative_to(folder).parts for i in range(len(source))]
        loose = [name for name, *rest in parts if not rest]
        if loose:
            raise DenseCLError(
                f"'{folder / loose[0]}' lies beside the class folders, so its class is not known. "
                "Labelled images lie in a subfolder for each class; a text file with lines of "
                "'path, label' does as well."
            )
        return cls(source, tuple(first for first, *_ in parts))

    @classmethod
    def _from_lines(cls, file: Path, column: int) -> "LabelledImages":
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (UnicodeDecodeError, OSError) as error:
            raise DenseCLError(
                f"'{file}' cannot be read as text ({error}). Labels are a UTF-8 text file with "
                "lines of 'path, label', or a folder with a subfolder for each class."
            ) from None
        paths, names = [], []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            # What is between tabs, or commas, may have spaces in it; the first of them decides.
            mark = re.search("[\t,]", line.strip())
            separator = r"\s+" if mark is None else "\t+" if mark[0] == "\t" else ","
            words = [word.strip() for word in re.split(separator, line.strip())]
            if not 1 <= column < len(words) or not words[column]:
                raise DenseCLError(
                    f"line {number} of '{file}' has no label number {column}: '{line.strip()}'. "
                    "Write 'path, label' on each line."
                )
            paths.append(words[0])
            names.append(words[column])
        if not paths:
            raise DenseCLError(f"'{file}' names no image. Write 'path, label' on each line.")
        return cls(FileSource(file.parent, paths), tuple(names))

    @classmethod
    def joined(cls, sets: Sequence["LabelledImages"]) -> "LabelledImages":
        """Return the images of all sets, one set behind the other."""
        names = tuple(name for images in sets for name in images.names)
        sources = [images.source for images in sets]
        roots = [os.path.abspath(s.root) for s in sources if isinstance(s, FileSource)]
        if len(roots) < len(sets):
            return cls(Chain(sources), names)
        paths = [os.path.abspath(file) for images in sets for file in images.files()]
        # A list may name images that lie beside its folder.
        root = os.path.commonpath([*roots, *map(os.path.dirname, paths)])
        return cls(FileSource(root, paths), names)

    def __len__(self) -> int:
        return len(self.names)

    def files(self) -> list[str]:
        """Return the file of each image; nothing where they are no files."""
        if not isinstance(self.source, FileSource):
            return []
        return [self.source.name(index) for index in range(len(self))]

    def identity(self) -> str:
        """Return 16 hexadecimal digits over the names and classes of all images."""
        return identity(f"{self.name(index)}\t{name}" for index, name in enumerate(self.names))

    def check_files(self) -> None:
        """Check that the files of all images are there; what is in them is not looked at.

        Raises:
            UnreadableImageError: the first that is missing or empty.
        """
        for name in self.files():
            if not os.path.isfile(name):
                raise UnreadableImageError(name, "no such file")
            if not os.path.getsize(name):
                raise UnreadableImageError(name, "empty file")

    def name(self, index: int) -> str:
        """Return what results call an image: its path below its folder or list, if it has one."""
        if isinstance(self.source, FileSource):
            return self.source.relative_name(index)
        return self.source.name(index)

    def subset(self, count: int) -> "LabelledImages":
        """Return at most ``count`` images, evenly spread over the classes as they are sorted."""
        if len(self) <= count:
            return self
        by_class = np.argsort(np.array(self.names), kind="stable")
        return self.take(by_class[evenly_spread(len(self), count)])

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> "LabelledImages":
        """Return the images at ``indices``, in that order."""
        names = tuple(self.names[i] for i in indices)
        if not isinstance(self.source, FileSource):
            return LabelledImages(Selection(self.source, indices), names)
        paths = [self.source.relative_name(int(i)) for i in indices]
        return LabelledImages(FileSource(self.source.root, paths), names)

    def images(self, size: int) -> Tensor:
        """Return the central squares of all images, (N, size, size, 3) uint8 RGB.

        Raises:
            UnreadableImageError: one cannot be read; names the file.
        """
        return torch.stack(
            [torch.from_numpy(central_square(self.source.load(i), size)) for i in range(len(self))]
        )


def class_numbers(*sets: Sequence[str]) -> list[Tensor]:
    """Number the classes of several sets alike, in the order of their names: (N,) int64 each."""
    order = {name: number for number, name in enumerate(sorted({n for s in sets for n in s}))}
    return [torch.tensor([order[name] for name in names]) for names in sets]


def class_members(*sets: Sequence[str]) -> list[Tensor]:
    """Say of every image which of the classes joined with ``+`` it has: (N, K) of 0 and 1 each."""
    split = [[set(name.split("+")) - {""} for name in names] for names in sets]
    order = sorted({name for names in split for image in names for name in image})
    return [torch.tensor([[int(k in image) for k in order] for image in names]) for names in split]


def central_square(image: np.ndarray, size: int) -> np.ndarray:
    """Cut the central square out of an (H, W, 3) image and resize it to (size, size, 3)."""
    height, width = image.shape[:2]
    side = max(1, round(min(height, width) * _CENTRE))
    x, y = (width - side) // 2, (height - side) // 2
    return crop_and_resize(image, (x, y, x + side, y + side), (size, size))
