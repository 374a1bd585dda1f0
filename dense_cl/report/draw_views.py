"""Pictures of what a method sees: crops in their source, regions on views, features as colours."""

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dense_cl.report.draw import PALETTE, Picture

_OPACITY = 0.5


def draw_outlines(
    image: Picture,
    outlines: Sequence[NDArray[np.floating[Any]]],
    colours: Sequence[int] | None = None,
) -> Picture:
    """Draw (N, 2) polygons in x, y of the picture, in colours of the palette or one by one."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    width = max(2, max(picture.size) // 150)
    for number, outline in zip(colours or range(len(outlines)), outlines, strict=True):
        corners = [(float(x), float(y)) for x, y in outline]
        pen.line([*corners, corners[0]], fill=PALETTE[number % len(PALETTE)], width=width)
    return np.asarray(picture)


def framed(image: Picture, number: int, width: int = 4) -> Picture:
    """Return the picture with a frame in the colour that ``draw_outlines`` gives this number."""
    height, length = image.shape[:2]
    canvas = np.empty((height + 2 * width, length + 2 * width, 3), np.uint8)
    canvas[:] = PALETTE[number % len(PALETTE)]
    canvas[width:-width, width:-width] = image
    return canvas


def draw_label_map(image: Picture, label_map: NDArray[np.integer[Any]]) -> Picture:
    """Shade every region in the colour of its id; pixels of no region (-1) stay as they are."""
    colours = np.array(PALETTE, np.float32)[label_map % len(PALETTE)]
    shaded = (1 - _OPACITY) * image + _OPACITY * colours
    border = np.zeros(label_map.shape, bool)
    border[:, 1:] |= label_map[:, 1:] != label_map[:, :-1]
    border[1:] |= label_map[1:] != label_map[:-1]
    shaded[border] = 255
    keep = ((label_map < 0) & ~border)[..., None]
    return np.where(keep, image, shaded.round()).astype(np.uint8)


def draw_classes(image: Picture, classes_HW: NDArray[np.integer[Any]], count: int) -> Picture:
    """Cover half of an image with the colours of its pixels' classes, 0 to ``count`` - 1."""
    # Neighbouring numbers are far apart on the colour circle, and every other one is darker.
    colours = [
        colorsys.hsv_to_rgb(number * 0.618 % 1, 0.85, (1.0, 0.6)[number % 2])
        for number in range(count)
    ]
    shaded = (1 - _OPACITY) * image + _OPACITY * 255 * np.array(colours, np.float32)[classes_HW]
    return shaded.round().astype(np.uint8)


def draw_attention(image: Picture, attention: NDArray[Any], threshold: float) -> Picture:
    """Lay a map over an image, hot where it is high, with a line around what it marks.

    Args:
        image: (H, W, 3) RGB.
        attention: (h, w) at least 0.
        threshold: share of its largest value beyond which it marks.
    """
    values = cv2.resize(attention.astype(np.float32), image.shape[1::-1])
    unit = values / max(float(values.max()), 1e-12)
    heat = cv2.applyColorMap((255 * unit).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    drawn = ((1 - _OPACITY) * image + _OPACITY * heat).round().astype(np.uint8)
    marked = (unit > threshold).astype(np.uint8)
    contours, _ = cv2.findContours(marked, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(drawn.copy(), contours, -1, PALETTE[5], 1))


def draw_numbers(image: Picture, label_map: NDArray[np.integer[Any]]) -> Picture:
    """Write the id of each region of an (H, W) map where it is thickest."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    for number in np.unique(label_map[label_map >= 0]).tolist():
        inside = np.pad(label_map == number, 1).view(np.uint8)  # beyond the border is outside
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        pen.text(
            (int(x), int(y)), str(number), fill=(255, 255, 255), font=ImageFont.load_default(18),
            anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0),
        )  # fmt: skip
    return np.asarray(picture)


def draw_boxes(image: Picture, boxes: NDArray[np.floating[Any]], ids: Sequence[int]) -> Picture:
    """Draw (N, 4) boxes x1, y1, x2, y2, each in the colour of its id."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    for box, number in zip(boxes, ids, strict=True):
        pen.rectangle([float(v) for v in box], outline=PALETTE[number % len(PALETTE)], width=2)
    return np.asarray(picture)


def principal_colours(maps_NCHW: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return the first three principal components of the features of all cells as RGB.

    Cells of one colour have similar features, in all maps alike. Components are stretched from
    their 1st to their 99th percentile.

    Args:
        maps_NCHW: (N, C, H, W) feature maps, C >= 3.

    Returns:
        (N, H, W, 3).
    """
    images, channels, height, width = maps_NCHW.shape
    cells = np.moveaxis(maps_NCHW, 1, -1).reshape(-1, channels).astype(np.float64)
    centred = cells - cells.mean(axis=0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, :-4:-1]
    # An eigenvector has no sign of its own: make the largest entry positive.
    largest = np.abs(directions).argmax(axis=0)
    directions *= np.sign(directions[largest, np.arange(3)])
    components = centred @ directions
    low, high = np.percentile(components, [1, 99], axis=0)
    unit = np.clip((components - low) / np.maximum(high - low, 1e-12), 0, 1)
    return (255 * unit).round().astype(np.uint8).reshape(images, height, width, 3)


def enlarged(image: Picture, size: tuple[int, int]) -> Picture:
    """Return the picture at (height, width), with hard edges between its pixels."""
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.NEAREST))


def fitted(image: Picture, height: int) -> tuple[Picture, float]:
    """Return the picture scaled to a height, or to eight times it in width, and the scale."""
    scale = min(height / image.shape[0], 8 * height / image.shape[1])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized), scale
