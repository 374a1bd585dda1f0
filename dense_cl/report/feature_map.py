"""A map of features: every image where its features put it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dense_cl.report.draw import PALETTE, Picture

_WHITE = (255, 255, 255)


def draw_feature_map(
    images_NHWC: NDArray[np.uint8],
    places_N2: NDArray[np.floating],
    classes: Sequence[str] = (),
    side: int = 1000,
    thumbnail: int = 56,
) -> Picture:
    """Draw thumbnails at their places; later ones lie on top.

    Args:
        images_NHWC: (N, H, W, 3) square images.
        places_N2: (N, 2) coordinates of any scale; the map is stretched to fill the picture.
        classes: of the images; each gets a frame in the colour of its class.
        side: of the map in pixels.
        thumbnail: side of a thumbnail in pixels.

    Returns:
        (side, side, 3) RGB; the second coordinate points upwards.
    """
    low, high = places_N2.min(axis=0), places_N2.max(axis=0)
    unit = (places_N2 - low) / np.maximum(high - low, 1e-12)
    corners = (unit * (side - thumbnail)).round().astype(int)
    numbers = {name: number for number, name in enumerate(sorted(set(classes)))}
    canvas = Image.new("RGB", (side, side), _WHITE)
    pen = ImageDraw.Draw(canvas)
    for index, (x, up) in enumerate(corners):
        y = side - thumbnail - up
        picture = Image.fromarray(images_NHWC[index])
        canvas.paste(picture.resize((thumbnail, thumbnail), Image.Resampling.BICUBIC), (x, y))
        colour = PALETTE[numbers[classes[index]] % len(PALETTE)] if classes else _WHITE
        pen.rectangle((x, y, x + thumbnail - 1, y + thumbnail - 1), outline=colour, width=3)
    return np.asarray(canvas)
