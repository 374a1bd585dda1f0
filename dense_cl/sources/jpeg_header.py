"""The few facts about a JPEG that decide how to decode it, read without decoding."""

import re
from dataclasses import dataclass

_START_OF_SCAN = 0xDA
# C0-CF are frame headers, but for C4 (Huffman tables), C8 (reserved), CC (arithmetic conditioning).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN_DCT_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_END_OF_IMAGE = b"\xff\xd9"
_STRAY_BYTES_AT_END = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_FEW_BYTES = 64
_LOSSY_WARNINGS = (b"Corrupt JPEG data", b"Premature end of JPEG file")
_WARNINGS = _LOSSY_WARNINGS + (
    b"Warning: unknown JFIF revision", b"Unknown Adobe color transform",
    b"Inconsistent progression sequence", b"Invalid SOS parameters",
)  # fmt: skip


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


def is_cut_off(data: bytes, header: JpegHeader) -> bool:
    """Return whether the compressed data have no end: decoders may fill the rest with grey.

    Searched from the scan on, as the thumbnail inside the metadata has an end marker of its own.
    """
    return data.rfind(_END_OF_IMAGE, header.scan_start) < 0


def libjpeg_damage(printed: bytes) -> tuple[str | None, bytes]:
    """Tell what libjpeg printed from what others did meanwhile.

    Some cameras leave a few bytes before the end marker; all pixels have been decoded by then,
    so that warning is dropped.

    Source: the JWRN messages of libjpeg's jerror.h.

    Returns:
        The first warning that means lost pixels, or None; and the lines that are not libjpeg's.
    """
    damage, others = None, []
    for line in printed.splitlines(keepends=True):
        if not line.startswith(_WARNINGS):
            others.append(line)
            continue
        harmless = _STRAY_BYTES_AT_END.match(line)
        lossy = line.startswith(_LOSSY_WARNINGS) and not (
            harmless and int(harmless[1]) <= _FEW_BYTES
        )
        if lossy and damage is None:
            damage = line.decode("ascii", "replace").strip()
    return damage and damage[0].lower() + damage[1:], b"".join(others)
