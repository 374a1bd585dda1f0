"""Bytes of an image file to RGB pixels, strictly: what is damaged is reported, never repaired."""

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from dense_cl.sources.base import UnreadableImageError
from dense_cl.sources.jpeg_header import is_cut_off, libjpeg_damage, read_jpeg_header
from dense_cl.sources.native_stderr import captured_native_stderr

MAX_PIXELS = 178_956_970
"""Images of more pixels are refused by default: 0.5 GB as RGB; Pillow's own error limit."""

_JPEG_START = b"\xff\xd8\xff"
_BACKGROUND = 255  # transparent pixels show white, as in a browser
_READ_RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)  # OpenCV 4.11 and later
_pillow_lock = threading.Lock()


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image file held in memory.

    Orientation metadata is applied. Grey becomes three equal channels; CMYK and palettes are
    converted; transparent pixels are composited over white; of animations and multi-page files
    the first frame is taken; 16-bit samples keep their high byte (``>> 8``); floating-point
    samples are taken as [0, 1] if they lie there, else as [0, 255].

    Args:
        data: the file's content.
        name: what the error calls the image.
        max_pixels: refuse larger images before decoding them (decompression bombs).

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous and writable.

    Raises:
        UnreadableImageError: empty, not an image, truncated, corrupt, or too large.
    """
    if not data:
        raise UnreadableImageError(name, "empty file")
    if data.startswith(_JPEG_START):
        image = _decode_jpeg(data, name, max_pixels)
        if image is not None:
            return image
    return _decode_with_pillow(data, name, max_pixels)


def _decode_jpeg(data: bytes, name: str, max_pixels: int) -> np.ndarray | None:
    """Return the pixels of an ordinary 8-bit JPEG; None if it is not one (CMYK, 12 bits...)."""
    header = read_jpeg_header(data)
    if header is None:
        raise UnreadableImageError(name, "truncated: the JPEG breaks off in its header")
    _check_size(name, header.width, header.height, max_pixels)
    if is_cut_off(data, header):
        raise UnreadableImageError(name, "truncated: the JPEG has no end marker")
    if not (header.huffman_dct and header.bits == 8 and header.components in (1, 3)):
        return None
    with captured_native_stderr() as heard:
        image = _imdecode(data)
    if heard:
        damage, others = libjpeg_damage(heard[0])
        if others:
            os.write(2, others)
        if damage:
            raise UnreadableImageError(name, damage)
    return image


def _imdecode(data: bytes) -> np.ndarray | None:
    buffer = np.frombuffer(data, np.uint8)
    try:
        if _READ_RGB is not None:
            return cv2.imdecode(buffer, _READ_RGB)
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_with_pillow(data: bytes, name: str, max_pixels: int) -> np.ndarray:
    try:
        with _strict_and_quiet_pillow(), Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            _check_size(name, width, height, max_pixels)
            image.load()
            return np.require(_to_rgb(_upright(image)), requirements=["C", "W"])
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError(name, "not an image (no known format)") from None
    except _UnsupportedPixels as error:
        raise UnreadableImageError(name, str(error)) from None
    # Pillow's plugins let any exception escape on malformed input: OSError, SyntaxError,
    # ValueError, struct.error, IndexError, MemoryError...
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableImageError(name, reason) from None


def _check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise UnreadableImageError(
            name, f"{width} x {height} pixels, above the limit of {max_pixels} pixels"
        )


class _UnsupportedPixels(Exception):
    """Pixel values without a defined range."""


@contextmanager
def _strict_and_quiet_pillow() -> Iterator[None]:
    """Fail on truncated files whatever other libraries have set; leave the size check to us."""
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # malformed metadata does not make the pixels unreadable
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Return (H, W, 3) uint8 for an image of any of Pillow's modes."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        grey = _to_8_bits(np.asarray(image), mode)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, (_BACKGROUND,) * 3 + (255,))
        return np.asarray(Image.alpha_composite(canvas, layers).convert("RGB"))
    return np.asarray(image if mode == "RGB" else image.convert("RGB"))


def _to_8_bits(values: np.ndarray, mode: str) -> np.ndarray:
    if mode == "F":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 255):  # not-a-number fails the comparison too
            raise _UnsupportedPixels(f"floating-point values from {low:g} to {high:g}, not 0 to 1")
        return np.rint(values * 255 if high <= 1 else values).astype(np.uint8)
    if mode == "I" and (values.min() < 0 or values.max() > 65535):
        raise _UnsupportedPixels("32-bit integers have no defined range")
    return (values >> 8).astype(np.uint8)
