"""Detections drawn on some of the validation images, for pages that compare methods."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from dense_cl.report.draw import Detection, Picture, draw_detections
from dense_cl.report.draw_views import fitted

_HEIGHT, _SHOWN_SCORE, _SHOWN = 240, 0.3, 20


def draw_found(
    image: Picture, entries: Sequence[Mapping[str, Any]], classes: Mapping[int, str]
) -> Picture:
    """Draw what was found on a small copy of an image.

    Args:
        image: (H, W, 3) RGB.
        entries: COCO results of this image; boxes, or run lengths of masks. Only the surest are
            drawn.
        classes: names of the categories by id.
    """
    small, ratio = fitted(image, _HEIGHT)
    size = small.shape[1], small.shape[0]
    surest = sorted(entries, key=lambda entry: -entry["score"])[:_SHOWN]
    found = [
        _scaled(Detection.from_coco(entry, classes), ratio, size)
        for entry in surest
        if entry["score"] >= _SHOWN_SCORE
    ]
    return draw_detections(small, found, scale=1)


def _scaled(found: Detection, ratio: float, size: tuple[int, int]) -> Detection:
    mask = found.mask
    if mask is not None:
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return replace(found, box=[ratio * value for value in found.box], mask=mask)
