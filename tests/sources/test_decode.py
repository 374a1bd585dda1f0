"""Every colour mode and orientation against values known beforehand."""

import io
import os
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from dense_cl.sources import UnreadableImageError, decode_image
from dense_cl.sources.jpeg_header import libjpeg_damage, read_jpeg_header
from dense_cl.sources.native_stderr import captured_native_stderr
from tests.sources.images import encode, photo, png

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3
QUADRANTS = np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8).repeat(16, 0).repeat(24, 1)
ORIENTATION = 0x0112


def decode(data: bytes, **options: int) -> np.ndarray:
    image = decode_image(data, "test", **options)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert image.flags.c_contiguous and image.flags.writeable
    return image


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_lossless_rgb_is_exact(fmt: str) -> None:
    options = {"lossless": True} if fmt == "WEBP" else {}
    np.testing.assert_array_equal(decode(encode(photo(), fmt, **options)), photo())


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_agrees_with_pillow(options: dict) -> None:
    data = encode(photo(), quality=95, **options)
    want = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    # Two libjpeg builds may differ in chroma upsampling, by a few levels.
    assert np.abs(decode(data) - want).max() <= 4


def test_grey_jpeg_gives_three_equal_channels() -> None:
    grey = photo()[..., 0]
    got = decode(encode(grey, quality=95))
    assert (got == got[..., :1]).all()
    assert np.abs(got[..., 0].astype(int) - grey).mean() < 6


def test_cmyk_jpeg_with_adobe_inversion() -> None:
    got = decode(encode(Image.fromarray(QUADRANTS).convert("CMYK"), quality=100, subsampling=0))
    assert np.abs(got.astype(int) - QUADRANTS).max() <= 6


def test_palette_and_bilevel_are_exact() -> None:
    palette = Image.fromarray(QUADRANTS).quantize(4)
    np.testing.assert_array_equal(decode(encode(palette, "PNG")), QUADRANTS)
    bits = photo()[..., 0] > 128
    want = np.repeat(bits[..., None] * np.uint8(255), 3, axis=2)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(bits), "PNG")), want)


def test_transparency_shows_white() -> None:
    alpha = np.full((*QUADRANTS.shape[:2], 1), 255, np.uint8)
    alpha[:16] = 0  # the upper half vanishes
    alpha[16:, 24:] = 128
    rgba = np.concatenate([np.where(alpha, QUADRANTS, 7).astype(np.uint8), alpha], axis=2)
    rgba[16:, 24:, :3] = 0  # half transparent black over white: 255 * (1 - 128 / 255) = 127
    got = decode(encode(rgba, "PNG"))
    assert (got[:16] == 255).all()
    assert (got[20, 4] == BLUE).all()
    assert (got[20, 40] == 127).all()


def test_transparent_palette_grey_alpha_and_colour_key_show_white() -> None:
    palette = Image.fromarray(QUADRANTS).quantize(4)
    transparent = palette.getpixel((0, 0))
    got = decode(encode(palette, "PNG", transparency=transparent))
    assert (got[0, 0] == 255).all() and (got[0, -1] == GREEN).all() and (got[-1, 0] == BLUE).all()
    grey_alpha = np.array([[[10, 0], [10, 255]]], np.uint8).repeat(4, 0)
    assert decode(encode(Image.fromarray(grey_alpha, "LA"), "PNG"))[0, :, 0].tolist() == [255, 10]
    keyed = encode(Image.fromarray(QUADRANTS), "PNG", transparency=GREEN)
    assert (decode(keyed)[0, -1] == 255).all() and (decode(keyed)[0, 0] == RED).all()


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_the_high_byte(fmt: str) -> None:
    values = np.array([[0, 255, 256], [32768, 65280, 65535]], np.uint16)
    got = decode(encode(Image.fromarray(values), fmt))
    assert got[..., 0].tolist() == [[0, 0, 1], [128, 255, 255]]


def test_16_bit_rgb_keeps_the_high_byte() -> None:
    row = struct.pack(">6H", 0, 256, 65535, 0x1234, 0x8000, 255)
    got = decode(png(2, 1, depth=16, colour_type=2, rows=[row]))
    assert got.tolist() == [[[0, 1, 255], [0x12, 0x80, 0]]]


def test_floating_point_is_unit_range_or_bytes_or_refused() -> None:
    unit = np.array([[0, 0.5, 1]], np.float32)
    assert decode(encode(Image.fromarray(unit), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    assert decode(encode(Image.fromarray(unit * 200), "TIFF"))[0, :, 0].tolist() == [0, 100, 200]
    for bad in (-1, 300, np.nan):
        with pytest.raises(UnreadableImageError, match="floating-point values"):
            decode(encode(Image.fromarray(np.array([[0, bad]], np.float32)), "TIFF"))


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    for fmt, options in {"GIF": {}, "WEBP": {"lossless": True}, "PNG": {}}.items():
        data = encode(frames[0], fmt, save_all=True, append_images=frames[1:], **options)
        assert (decode(data) == RED).all(), fmt


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation(fmt: str, endian: str, orientation: int) -> None:
    exif = Image.Exif()
    exif.endian = endian
    exif[ORIENTATION] = orientation
    options = {
        "JPEG": {"quality": 95, "subsampling": 0, "exif": exif},
        "PNG": {"exif": exif},
        "WEBP": {"lossless": True, "exif": exif},
        "TIFF": {"tiffinfo": {ORIENTATION: orientation}},
    }[fmt]
    tagged = Image.fromarray(QUADRANTS)
    tagged.getexif()[ORIENTATION] = orientation
    want = np.asarray(ImageOps.exif_transpose(tagged)).astype(int)
    got = decode(encode(QUADRANTS, fmt, **options))
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 12


def test_malformed_orientation_metadata_is_ignored() -> None:
    exif = b"Exif\x00\x00II*\x00\xff\xff\xff\xff"
    for fmt in ("JPEG", "PNG"):
        assert decode(encode(QUADRANTS, fmt, exif=exif)).shape == QUADRANTS.shape


def test_limit_on_pixels_comes_before_decoding_and_can_be_raised() -> None:
    for fmt in ("JPEG", "PNG"):
        data = encode(photo(48, 64), fmt)
        assert decode(data, max_pixels=48 * 64).shape == (48, 64, 3)
        with pytest.raises(UnreadableImageError, match="64 x 48 pixels, above the limit of 3071"):
            decode(data, max_pixels=48 * 64 - 1)
    huge = png(200_000, 200_000, depth=8, colour_type=2, rows=[])
    with pytest.raises(UnreadableImageError, match="200000 x 200000 pixels"):
        decode(huge)


def test_settings_of_pillow_are_overruled_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = encode(photo(), "PNG")
    assert decode(data).shape == (48, 64, 3)
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode(data[: len(data) // 2])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True and Image.MAX_IMAGE_PIXELS == 10


def test_nothing_is_printed_and_foreign_output_passes(capfd: pytest.CaptureFixture[str]) -> None:
    data = encode(photo(200, 200), quality=95)
    middle = len(data) // 2
    with pytest.raises(UnreadableImageError, match="corrupt JPEG data"):
        decode(data[:middle] + data[middle + 1500 :])
    decode(data)
    assert capfd.readouterr().err == ""
    with captured_native_stderr() as heard:
        os.write(2, b"caught")
    os.write(2, b"not caught")
    assert heard == [b"caught"] and capfd.readouterr().err == "not caught"


def test_what_other_threads_print_meanwhile_comes_through(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def imdecode(data: bytes) -> np.ndarray:
        os.write(2, b"warning of a thread\n")
        return photo()

    monkeypatch.setattr("dense_cl.sources.decode._imdecode", imdecode)
    np.testing.assert_array_equal(decode(encode(photo())), photo())
    assert capfd.readouterr().err == "warning of a thread\n"


def test_libjpeg_messages_that_lose_nothing_are_let_pass() -> None:
    for line in (
        b"Corrupt JPEG data: 3 extraneous bytes before marker 0xd9\n",
        b"Warning: unknown JFIF revision number 2.01\n",
    ):
        assert libjpeg_damage(line) == (None, b"")
    for line in (
        b"Corrupt JPEG data: 900 extraneous bytes before marker 0xd9\n",
        b"Corrupt JPEG data: premature end of data segment\n",
        b"Corrupt JPEG data: bad Huffman code\n",
        b"Premature end of JPEG file\n",
    ):
        want = (line[:1].lower() + line[1:-1]).decode()
        assert libjpeg_damage(b"of a thread\n" + line) == (want, b"of a thread\n")


def test_jpeg_header_and_trailing_bytes() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = encode(photo(30, 50), exif=exif)
    header = read_jpeg_header(data)
    assert header is not None
    assert (header.height, header.width, header.bits, header.components) == (30, 50, 8, 3)
    assert header.huffman_dct and data[header.scan_start : header.scan_start + 2] == b"\xff\xda"
    np.testing.assert_array_equal(decode(data + b"maker's trailer" * 9), decode(data))
