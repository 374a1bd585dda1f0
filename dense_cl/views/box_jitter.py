"""A region shifted and scaled, so that two views of it are not the same crop."""

import math
import random

from dense_cl.errors import DenseCLError
from dense_cl.views.crops import Box
from dense_cl.views.geometry import Size


class BoxJitter:
    """Draws boxes near a given one.

    Jiahao000/ORL ``openselfsup/datasets/orl.py``; defaults as in its stage 3: draws whose border
    leaves the image, or that overlap too little, are made anew, and after ``attempts`` of them
    the box stays as it is.

    Args:
        shift: smallest and largest move of the centre, in widths and heights of the box.
        scale: smallest and largest area, as parts of the box's.
        ratio: smallest and largest width over height of the new box.
        min_iou: intersection over union with the box has to be larger.
        attempts: draws at most.

    Raises:
        DenseCLError: limits that make no sense.
    """

    def __init__(
        self,
        shift: tuple[float, float] = (-0.5, 0.5),
        scale: tuple[float, float] = (0.5, 2.0),
        ratio: tuple[float, float] = (0.5, 2.0),
        min_iou: float = 0.5,
        attempts: int = 200,
    ) -> None:
        for name, (low, high) in {"shift": shift, "scale": scale, "ratio": ratio}.items():
            if low > high or (name != "shift" and low <= 0):
                raise DenseCLError(f"box jitter: {name}=({low}, {high}) is no range, low to high.")
        if not 0 <= min_iou < 1:
            raise DenseCLError(f"box jitter: min_iou={min_iou} is not between 0 and 1.")
        self.shift, self.scale, self.ratio = tuple(shift), tuple(scale), tuple(ratio)
        self.min_iou, self.attempts = min_iou, attempts

    def __call__(self, box: Box, source_size: Size, rng: random.Random) -> Box:
        """Return a box in whole pixels inside the source."""
        width, height = box[2] - box[0], box[3] - box[1]
        for _ in range(self.attempts):
            area = rng.uniform(*self.scale) * width * height
            ratio = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            new_w, new_h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            x = round((box[0] + box[2] - new_w) / 2 + rng.uniform(*self.shift) * width)
            y = round((box[1] + box[3] - new_h) / 2 + rng.uniform(*self.shift) * height)
            new = (x, y, x + new_w, y + new_h)
            inside = x >= 0 and y >= 0 and new[2] <= source_size[1] and new[3] <= source_size[0]
            if min(new_w, new_h) > 0 and inside and _iou(box, new) > self.min_iou:
                return new
        return box


def _iou(first: Box, second: Box) -> float:
    width = max(0, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(0, min(first[3], second[3]) - max(first[1], second[1]))
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (first, second)]
    return width * height / (sum(areas) - width * height)
