"""Colour jitter, the largest single cost of the usual pipelines after decoding."""

from typing import Any

import albumentations as A
import cv2
import numpy as np
from albucore import sz_lut

from dense_cl.registry import AUGMENTATIONS

_VALUES = np.arange(256, dtype=np.uint8)[None]
_HUES = 180  # OpenCV's 8-bit hue counts in steps of two degrees


@AUGMENTATIONS.register_module()
class ColorJitter(A.ColorJitter):
    """albumentations' ``ColorJitter`` in fewer passes over the image; same arguments.

    As torchvision's (``torchvision/transforms/functional.py`` on PIL images): brightness,
    contrast and saturation blend with black, with the mean grey level and with the greyscale
    image; hue turns the hue circle; the four come in random order.
    """

    def apply(
        self,
        img: np.ndarray,
        brightness: float,
        contrast: float,
        saturation: float,
        hue: float,
        order: list[int],
        **params: Any,
    ) -> np.ndarray:
        """Jitter an (H, W, 3) uint8 RGB image by the drawn factors."""
        steps = (
            lambda image: _blend(image, brightness, 0.0),
            lambda image: _blend(image, contrast, (1 - contrast) * _mean_grey(image)),
            lambda image: _saturate(image, saturation),
            lambda image: _turn_hue(image, hue),
        )
        for number in order:
            img = steps[number](img)
        return img


def _blend(image: np.ndarray, factor: float, offset: float) -> np.ndarray:
    # OpenCV multiplies, adds, rounds and saturates the 256 values; then they are looked up.
    return sz_lut(image, cv2.addWeighted(_VALUES, factor, _VALUES, 0.0, offset)[0], inplace=False)


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _mean_grey(image: np.ndarray) -> float:
    return float(np.asarray(cv2.mean(_grey(image)))[0])


def _saturate(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(_grey(image), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, factor, grey, 1 - factor, 0.0)


def _turn_hue(image: np.ndarray, turn: float) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hue = cv2.extractChannel(hsv, 0)
    table = (np.arange(256) + round(turn * _HUES)) % _HUES
    cv2.insertChannel(sz_lut(hue, table.astype(np.uint8), inplace=True), hsv, 0)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
