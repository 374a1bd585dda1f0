"""Random crops that show enough of what is salient, or all of one salient object (CAST)."""

import random
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.registry import CROPS
from dense_cl.views.batch import CONSTRUCTED, UNCONSTRAINED
from dense_cl.views.cover import Cover, Positions, relaxed_cover
from dense_cl.views.crops import Box, Crop, LabelMap, RandomResizedCrop
from dense_cl.views.geometry import Size

_PLACES = 64  # along each side of the image, where a box is tried that is moved
_RATIOS = 5  # shapes of largest boxes that are tried
_ROUNDING = 1e-9


@CROPS.register_module()
class SaliencyCrop(RandomResizedCrop):
    """Random boxes that each show at least a part of what is salient in the image.

    Selvaraju et al., "CASTing Your Model", CVPR 2021 (arXiv 2012.04630). A box P is drawn as
    ``RandomResizedCrop`` draws it, up to ``tries`` times, until |P and M| / |M| is at least
    min(``min_cover``, s |I| / |M|), M being what is salient, I the image and s the smallest
    ``scale``. With ``within_first`` every further box also has to show that part of what is salient
    inside the first. So an image's accepted boxes are plain ones with the others left out.

    If no draw will do, the last one is moved to a place where it does, each such place of a grid of
    64 x 64 having the same chance. If there is none, the largest allowed boxes of five aspect
    ratios are moved in the same way, in random order. If there is none either, as when what is
    salient lies in two corners and no large box is allowed, the box is the smallest around all
    that is salient: the only one that may leave ``scale`` and ``ratio``. So the constraint holds
    for every box.

    An image in which nothing is salient gets plain boxes, and they are counted
    (``ViewBatch.crop_tries``).

    With ``component``, ours, M is one connected component instead, the same for all views of the
    group. In a photo of many objects two boxes that show some of all that is salient may show
    different objects; two that show some of one component share it.

    The released code (salesforce/CAST ``moco/augmentations/functional.py``) draws the centre of a
    box from a normal distribution around the centroid of M, as wide as the image and cut off at its
    border; here places are uniform, as in the plain crops that it is compared with. Its fallback
    grows the bounding box of M at random and then cuts it to the allowed aspect ratio; a wide
    or tall M can lose nearly all of its area to that cut, the second constraint is not looked at
    again, and nothing keeps the area in ``scale``. It replaces an image without saliency by
    another one (``moco/datasets.py``).

    Args:
        min_cover: phi, part of what is salient that each box shows.
        within_first: further boxes also show that part of what is salient in the first one. The
            released code has both; its published command (README.md) has it off.
        component: None, or how the component is chosen: 'area' (with chances proportional to
            areas), 'uniform' or 'largest'.
        tries: draws before a box is moved.
        scale: smallest and largest area, as parts of the source's.
        ratio: smallest and largest width over height.

    Raises:
        DenseCLError: options that make no sense.
    """

    needs_objects = True

    def __init__(
        self,
        min_cover: float = 0.2,
        within_first: bool = False,
        component: Literal["area", "uniform", "largest"] | None = None,
        tries: int = 10,
        scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        super().__init__(scale, ratio)
        if not 0 < min_cover <= 1:
            raise DenseCLError(f"min_cover {min_cover} is a part of what is salient: above 0 to 1")
        if component not in (None, "area", "uniform", "largest"):
            raise DenseCLError(
                f"component {component!r}: give 'area', 'uniform' or 'largest', or None for all"
            )
        if tries < 1:
            raise DenseCLError(f"tries must be at least 1, not {tries}")
        self.min_cover, self.within_first = float(min_cover), within_first
        self.component, self.tries = component, tries

    def sample(
        self, source_size: Size, count: int, rng: random.Random, objects: LabelMap | None = None
    ) -> list[Crop]:
        """Return ``count`` crops; plain ones if ``objects`` has no object, or is None."""
        mask = None if objects is None else self._choose(objects, rng)
        if mask is None:
            return [Crop(self._box(*source_size, rng), UNCONSTRAINED) for _ in range(count)]
        cover = Cover(mask, source_size)
        least = relaxed_cover(
            self.min_cover, self.scale[0], source_size[0] * source_size[1], cover.area
        )
        crops: list[Crop] = []
        for _ in range(count):
            first = crops[0].box if crops and self.within_first else None
            crops.append(self._constrained(Constraint(cover, least, first), source_size, rng))
        return crops

    def _choose(self, objects: LabelMap, rng: random.Random) -> NDArray[np.bool_] | None:
        """Return the mask of what boxes have to show, None if nothing is salient."""
        mask: NDArray[np.bool_] = objects >= 0
        if not mask.any():
            return None
        if self.component is None:
            return mask
        areas = np.bincount(objects[mask])
        ids = np.flatnonzero(areas)
        if self.component == "largest":
            return objects == areas.argmax()
        weights = areas[ids].tolist() if self.component == "area" else None
        return objects == rng.choices(ids.tolist(), weights)[0]

    def _constrained(self, constraint: "Constraint", source_size: Size, rng: random.Random) -> Crop:
        for number in range(1, self.tries + 1):
            box = self._box(*source_size, rng)
            if constraint.holds(box):
                return Crop(box, number)
        largest = list(self._largest(source_size))
        rng.shuffle(largest)
        for width, height in [(box[2] - box[0], box[3] - box[1]), *largest]:
            x, y = (_places(side) for side in (source_size[1] - width, source_size[0] - height))
            rows, columns = constraint.of_grid(x, y, x + width, y + height).nonzero()
            if len(rows):
                place = rng.randrange(len(rows))
                left, top = int(x[columns[place]]), int(y[rows[place]])
                return Crop((left, top, left + width, top + height), CONSTRUCTED)
        return Crop(constraint.cover.bounding_box(), CONSTRUCTED)

    def _largest(self, source_size: Size) -> Iterator[tuple[int, int]]:
        """Yield width and height of the largest allowed boxes."""
        height, width = source_size
        for ratio in np.geomspace(*self.ratio, _RATIOS).tolist():
            longest = min(width, height * ratio, (self.scale[1] * height * width * ratio) ** 0.5)
            yield max(1, int(longest)), max(1, int(longest / ratio))


class Constraint:
    """What CAST asks of a box.

    Args:
        cover: of what is salient.
        least: part of it that has to lie in the box.
        first: box of the first view; the same part of what is salient in there has to lie in the
            box too. None: not asked for.
    """

    def __init__(self, cover: Cover, least: float, first: Box | None = None) -> None:
        self.cover, self.first = cover, first
        part = least * (1 - _ROUNDING)
        self._needed = part * cover.area
        self._needed_of_first = 0.0 if first is None else part * cover.inside(first)

    def holds(self, box: Box) -> bool:
        """Whether a box (x1, y1, x2, y2) will do."""
        x1, y1, x2, y2 = box
        return bool(self.of_grid([x1], [y1], [x2], [y2])[0, 0])

    def of_grid(
        self, x1: Positions, y1: Positions, x2: Positions, y2: Positions
    ) -> NDArray[np.bool_]:
        """Tell of all boxes of X ranges of columns and Y ranges of rows: (Y, X) bool."""
        will_do: NDArray[np.bool_] = self.cover.areas(x1, y1, x2, y2) >= self._needed
        if self.first is not None:
            left, top, right, bottom = self.first
            shared = self.cover.areas(
                np.clip(x1, left, right), np.clip(y1, top, bottom),
                np.clip(x2, left, right), np.clip(y2, top, bottom),
            )  # fmt: skip
            will_do &= shared >= self._needed_of_first
        return will_do


def _places(room: int) -> NDArray[np.int64]:
    """Where a box with ``room`` pixels to spare may begin: at most 64 places, evenly spread."""
    return np.linspace(0, room, min(room + 1, _PLACES)).round().astype(np.int64)
