"""Pictures with what a model found drawn on them: detections, and matches between views."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
GOOD, BAD, TRUTH = (0, 158, 115), (213, 94, 0), (255, 255, 255)
PALETTE = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233),
    (240, 228, 66), (140, 86, 75), (148, 103, 189), (127, 127, 127),
)  # fmt: skip
_MASK_OPACITY = 0.45


@dataclass(frozen=True)
class Detection:
    """One object, found or labelled.

    Attributes:
        box: x, y, width, height in pixels, as COCO writes them.
        label: what is written beside the box.
        colour: index of its colour.
        mask: (H, W) bool, or None.
    """

    box: Sequence[float]
    label: str
    colour: int
    mask: NDArray[np.bool_] | None = None

    @classmethod
    def from_coco(
        cls, entry: Mapping[str, Any], names: Mapping[int, str], colour: int | None = None
    ) -> "Detection":
        """Take an entry of COCO annotations or results; masks are run lengths.

        Args:
            entry: the annotation or result.
            names: of the categories, by id; an only category goes without saying.
            colour: by default one per category.
        """
        from pycocotools import mask as run_lengths

        category = int(entry["category_id"])
        words = [names[category]] if len(names) > 1 else []
        words += [f"{entry['score']:.2f}"] if "score" in entry else []
        coded = entry.get("segmentation")
        mask = run_lengths.decode(coded).astype(bool) if isinstance(coded, dict) else None
        box = entry.get("bbox") or run_lengths.toBbox(coded).tolist()
        return cls(box, " ".join(words), category if colour is None else colour, mask)


def draw_detections(image: Picture, detections: Sequence[Detection], scale: int = 2) -> Picture:
    """Draw masks, boxes and labels on an enlarged copy of an image; the first ones end on top."""
    shaded = image.astype(np.float32)
    for found in reversed(detections):
        if found.mask is not None:
            colour = np.array(_colour(found), np.float32)
            shaded[found.mask] = (1 - _MASK_OPACITY) * shaded[found.mask] + _MASK_OPACITY * colour
    picture = _enlarged(shaded.round().astype(np.uint8), scale)
    pen = ImageDraw.Draw(picture)
    for found in reversed(detections):
        x, y, width, height = (scale * value for value in found.box)
        pen.rectangle((x, y, x + width, y + height), outline=_colour(found), width=2)
        if found.label:
            _label(pen, (x, y), found.label, _colour(found), picture.size)
    return np.asarray(picture)


def draw_correspondences(
    left: Picture,
    right: Picture,
    start: NDArray[np.floating[Any]],
    match: NDArray[np.floating[Any]],
    truth: NDArray[np.floating[Any]],
    correct: NDArray[np.bool_],
    scale: int = 2,
) -> Picture:
    """Draw two views side by side with a line from each place to its match.

    Green lines end at the right place, orange ones do not; a white ring shows where the place
    truly is in the right view, if that shows it.

    Args:
        left: first view.
        right: second view, of the same height.
        start: (N, 2) places in the left view, x, y in pixels.
        match: (N, 2) where the features say they are in the right view.
        truth: (N, 2) where they are by geometry.
        correct: (N,) which matches count as right.
        scale: enlargement.
    """
    gap = 8
    canvas = Image.new(
        "RGB",
        ((left.shape[1] + right.shape[1]) * scale + gap, left.shape[0] * scale),
        (255, 255, 255),
    )
    shift = left.shape[1] * scale + gap
    canvas.paste(_enlarged(left, scale), (0, 0))
    canvas.paste(_enlarged(right, scale), (shift, 0))
    pen = ImageDraw.Draw(canvas)
    for index in np.argsort(correct, kind="stable"):  # right ones last, on top
        colour = GOOD if correct[index] else BAD
        x1, y1 = start[index] * scale
        x2, y2 = match[index] * scale + (shift, 0)
        x3, y3 = truth[index] * scale + (shift, 0)
        pen.line((x1, y1, x2, y2), fill=colour, width=2)
        _dot(pen, x1, y1, 4, fill=colour)
        _dot(pen, x2, y2, 4, fill=colour)
        if np.all((truth[index] >= 0) & (truth[index] < right.shape[1::-1])):
            _dot(pen, x3, y3, 6, outline=TRUTH, width=2)
    return np.asarray(canvas)


def tile(rows: Sequence[Sequence[Picture]], titles: Sequence[str] = (), gap: int = 8) -> Picture:
    """Lay pictures out in rows on white, with a title over each column."""
    widths = [max(p.shape[1] for p in column) for column in zip(*rows, strict=True)]
    heights = [max(p.shape[0] for p in row) for row in rows]
    top = 24 if titles else 0
    size = sum(widths) + gap * (len(widths) - 1), top + sum(heights) + gap * (len(heights) - 1)
    canvas = Image.new("RGB", size, (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    lefts = [sum(widths[:column]) + gap * column for column in range(len(widths))]
    for left, title in zip(lefts, titles, strict=False):
        pen.text((left, 3), title, fill=(30, 30, 30), font=ImageFont.load_default(15))
    y = top
    for row, height in zip(rows, heights, strict=True):
        for left, picture in zip(lefts, row, strict=True):
            canvas.paste(Image.fromarray(picture), (left, y))
        y += height + gap
    return np.asarray(canvas)


def encode(picture: Picture, quality: int = 88) -> bytes:
    """Return the picture as the content of a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _enlarged(picture: Picture, scale: int) -> Image.Image:
    height, width = picture.shape[:2]
    size = (width * scale, height * scale)
    return Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)


def _colour(found: Detection) -> tuple[int, int, int]:
    return PALETTE[found.colour % len(PALETTE)]


def _label(
    pen: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    colour: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    """Write a label above a box's corner, moved inside the picture where it would stick out."""
    font = ImageFont.load_default(11)
    width, height = pen.textbbox((0, 0), text, font=font)[2:]
    x = min(max(corner[0], 0), size[0] - width - 4)
    y = max(corner[1] - height - 3, 0)
    pen.rectangle((x, y, x + width + 4, y + height + 3), fill=colour)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 150
    pen.text((x + 2, y + 1), text, fill=(0, 0, 0) if bright else (255, 255, 255), font=font)


def _dot(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, **style: Any) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), **style)
