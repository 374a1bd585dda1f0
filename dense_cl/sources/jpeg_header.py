"""The few facts about a JPEG that decide how to decode it, read without decoding."""

from dataclasses import dataclass
from re import compile as pattern

_START_OF_SCAN = 0xDA
# C0-CF are frame headers, but for C4 (Huffman tables), C8 (reserved), CC (arithmetic conditioning).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN_DCT_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_END_OF_IMAGE = b"\xff\xd9"
# In entropy-coded data FF is followed by 00 (a stuffed byte), RST0-7 or fill; at its end come EOI
# or, between the scans of a progressive file, tables, a scan header, comments or DNL.
_STRAY_MARKER = pattern(rb"\xff[\x01-\xc3\xc5-\xcf\xde-\xfd]")


@dataclass(frozen=True)
class JpegHeader:
    """Facts of the frame header.

    Attributes:
        height: rows; 0 when the file gives it after the scan (DNL).
        width: columns.
        bits: bits per sample.
        components: 1 grey, 3 colour, 4 CMYK.
        huffman_dct: baseline, extended or progressive, as any decoder handles.
        scan_start: where the first scan's header is.
    """

    height: int
    width: int
    bits: int
    components: int
    huffman_dct: bool
    scan_start: int


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Return the header of a JPEG, or None if the bytes end or break off before its first scan.

    Source: ITU-T T.81, annex B (segments and their lengths).
    """
    position, end, frame = 2, len(data), None
    while position + 4 <= end:
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _FRAMES and position + 10 <= end:
            frame = (marker, position + 4)
        if marker == _START_OF_SCAN:
            if frame is None:
                return None
            kind, at = frame
            return JpegHeader(
                height=data[at + 1] << 8 | data[at + 2],
                width=data[at + 3] << 8 | data[at + 4],
                bits=data[at],
                components=data[at + 5],
                huffman_dct=kind in _HUFFMAN_DCT_FRAMES,
                scan_start=position,
            )
        position += 2 + (data[position + 2] << 8 | data[position + 3])
    return None


def jpeg_damage(data: bytes, header: JpegHeader) -> str | None:
    """Return what is visibly wrong with the compressed data, or None.

    A decoder fills what is missing with grey and says nothing, so it is checked here: about
    10 microseconds for a 640x480 photo.
    """
    # Search from the scan on: the thumbnail inside the metadata has an end marker of its own.
    end = data.find(_END_OF_IMAGE, header.scan_start)
    if end < 0:
        return "truncated: no end-of-image marker"
    if _STRAY_MARKER.search(data, header.scan_start, end):
        return "corrupt JPEG data: stray marker"
    return None


def libjpeg_damage(printed: bytes) -> str | None:
    """Return the warning among what libjpeg printed that means lost pixels, or None.

    Source: the JWRN messages of libjpeg's jerror.h. Some cameras leave a few bytes before the
    end marker; all pixels have been decoded by then.
    """
    for line in printed.decode("latin-1").splitlines():
        if "extraneous bytes before marker 0xd9" in line:
            continue
        if line.startswith(("Corrupt JPEG data", "Premature end of JPEG file")):
            return line[0].lower() + line[1:]
    return None
