"""Images in a folder, flat or nested."""

from collections.abc import Sequence
from pathlib import Path

from dense_cl.errors import DenseCLError
from dense_cl.paths import files_below
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
        if isinstance(extensions, str):
            extensions = [extensions]
        endings = tuple(ending.lower() for ending in extensions)
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise DenseCLError(
                f"image folder '{root}' {what}. Give the folder that holds the images."
            )
        names = sorted(files_below(folder, endings))
        if not names:
            raise DenseCLError(
                f"image folder '{root}' holds no image (looked in its subfolders too, for "
                f"{', '.join(endings)}). Check the path, or name other extensions."
            )
        super().__init__(folder, names, max_pixels)
