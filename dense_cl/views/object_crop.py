"""Random crops of plain shapes, placed so that all views of an image show the same object."""

import random

from dense_cl.errors import DenseCLError
from dense_cl.registry import CROPS
from dense_cl.views.batch import UNCONSTRAINED
from dense_cl.views.cover import (
    ROUNDING,
    Choice,
    Cover,
    boxes_of_size,
    chosen_mask,
    one_of,
    require_choice,
)
from dense_cl.views.crops import Box, Crop, LabelMap, RandomResizedCrop
from dense_cl.views.geometry import Size


@CROPS.register_module()
class ObjectCrop(RandomResizedCrop):
    """Boxes that are drawn as plain ones, and moved to where they show enough of one object.

    Ours. ``SaliencyCrop`` draws a box again until it shows enough, and large boxes pass more often:
    part of what it gains is that its crops are larger. It also has to ask for little of a large
    object, as it asks the same of the smallest crop. Here a box keeps the size and shape that
    ``RandomResizedCrop`` drew, and its place is drawn anew, with equal chances among those of a
    grid of 64 x 64 at which it shows at least ``min_cover`` of the most that a box of this size and
    shape shows of the object at any of them. There always is such a place.

    The object is one connected component of what is salient, the same for all views of the group.
    An image in which nothing is salient gets plain boxes, and they are counted
    (``ViewBatch.crop_tries``).

    Args:
        min_cover: part of what a box can show of the object that it does show. At 1 a box smaller
            than the object has hardly a choice of places.
        component: how the object is chosen: 'area' (with chances proportional to areas),
            'uniform' or 'largest'; None for all that is salient.
        scale: smallest and largest area, as parts of the source's.
        ratio: smallest and largest width over height.

    Raises:
        DenseCLError: options that make no sense.
    """

    needs_objects = True

    def __init__(
        self,
        min_cover: float = 0.8,
        component: Choice | None = "area",
        scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        super().__init__(scale, ratio)
        if not 0 <= min_cover <= 1:
            raise DenseCLError(f"min_cover {min_cover} is a part of an object: give 0 to 1")
        require_choice(component)
        self.min_cover, self.component = float(min_cover), component

    def sample(
        self, source_size: Size, count: int, rng: random.Random, objects: LabelMap | None = None
    ) -> list[Crop]:
        """Return ``count`` crops; plain ones if ``objects`` has no object, or is None."""
        mask = None if objects is None else chosen_mask(objects, self.component, rng)
        boxes = [self._box(*source_size, rng) for _ in range(count)]
        if mask is None:
            return [Crop(box, UNCONSTRAINED) for box in boxes]
        cover = Cover(mask, source_size)
        return [Crop(self._moved(box, cover, source_size, rng), 1) for box in boxes]

    def _moved(self, box: Box, cover: Cover, source_size: Size, rng: random.Random) -> Box:
        boxes = boxes_of_size(box[2] - box[0], box[3] - box[1], source_size)
        shown_YX = cover.areas(*boxes)
        moved = one_of(boxes, shown_YX >= self.min_cover * shown_YX.max() * (1 - ROUNDING), rng)
        assert moved is not None  # the place that shows most will do
        return moved
