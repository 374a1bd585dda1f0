"""Images in a folder, flat or nested."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from dense_cl.errors import DenseCLError
from dense_cl.registry import SOURCES
from dense_cl.sources.decode import MAX_PIXELS
from dense_cl.sources.files import IMAGE_EXTENSIONS, FileSource


@SOURCES.register_module()
class FolderSource(FileSource):
    """All images in a folder and its subfolders, sorted by relative path.

    Hidden entries (leading dot: thumbnails, macOS resource forks) are skipped. Any other entry
    with an image's extension is listed, even a broken link or a FIFO, so that it ends up in the
    quarantine list instead of vanishing. Linked folders are followed, each folder once.

    Args:
        root: the folder.
        extensions: file name endings to take, case ignored.
        max_pixels: larger images are unreadable.

    Raises:
        DenseCLError: the folder is missing, unreadable, or holds no image.
    """

    def __init__(
        self,
        root: str | Path,
        extensions: Sequence[str] = IMAGE_EXTENSIONS,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        folder = Path(root).expanduser()
        endings = tuple(ending.lower() for ending in extensions)
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise DenseCLError(
                f"image folder '{root}' {what}. Give the folder that holds the images."
            )
        names = sorted(_image_names(str(folder), endings))
        if not names:
            raise DenseCLError(
                f"image folder '{root}' holds no image (looked in its subfolders too, for "
                f"{', '.join(endings)}). Check the path, or name other extensions."
            )
        super().__init__(folder, names, max_pixels)


def _image_names(root: str, endings: tuple[str, ...]) -> Iterator[str]:
    """Yield paths relative to ``root`` in no particular order."""
    pending, visited = [""], set()
    while pending:
        relative = pending.pop()
        path = os.path.join(root, relative)
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in visited:  # linked twice, or a loop of links
                continue
            visited.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(path), key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            raise DenseCLError(
                f"folder '{path}' cannot be listed: {error.strerror}. Give it read permission."
            ) from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(endings):
                yield relative + entry.name
            elif _is_folder(entry):
                pending.append(relative + entry.name + "/")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False
