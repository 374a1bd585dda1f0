"""Images named in a text file."""

from pathlib import Path

from dense_cl.errors import DenseCLError
from dense_cl.registry import SOURCES
from dense_cl.sources.decode import MAX_PIXELS
from dense_cl.sources.files import FileSource


@SOURCES.register_module()
class ListSource(FileSource):
    """Images named in a text file, one path a line, in the order of the file.

    Blank lines and lines that start with ``#`` are skipped. Relative paths start from ``root``.
    A path that does not exist is quarantined when it is loaded.

    Args:
        file: the list (UTF-8).
        root: where relative paths start; the folder of the list if not given.
        max_pixels: larger images are unreadable.

    Raises:
        DenseCLError: the list is missing, is not text, or names no image.
    """

    def __init__(
        self, file: str | Path, root: str | Path | None = None, max_pixels: int = MAX_PIXELS
    ) -> None:
        path = Path(file).expanduser()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DenseCLError(f"image list '{file}' cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise DenseCLError(
                f"image list '{file}' is not UTF-8 text. Give a text file with one path a line."
            ) from None
        lines = (line.strip() for line in text.splitlines())
        names = [line for line in lines if line and not line.startswith("#")]
        if not names:
            raise DenseCLError(f"image list '{file}' names no image. Write one path a line.")
        if root is not None and not Path(root).expanduser().is_dir():
            raise DenseCLError(f"root '{root}' of image list '{file}' is not a folder.")
        super().__init__(
            path.parent if root is None else Path(root).expanduser(), names, max_pixels
        )
