"""Objects with key points, out of a COCO JSON, cut out of their photos."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.data_identity import identity
from dense_cl.sources.base import ImageSource
from dense_cl.sources.coco import CocoSource, read_coco
from dense_cl.sources.files import FileSource


@dataclass(frozen=True)
class KeypointObject:
    """One object.

    Attributes:
        image: index of its photo in the source.
        photo_size: width and height of the photo, as the JSON says.
        category: its class.
        box: x, y, width and height in pixels of the photo, inside it.
        points: (P, 2) pixels of the photo.
        visible: (P,) whether each is labelled and visible.
    """

    image: int
    photo_size: tuple[float, float]
    category: int
    box: tuple[float, float, float, float]
    points: Tensor
    visible: Tensor


class ObjectCrops(ImageSource):
    """The boxes of objects as images.

    Args:
        photos: where they are cut out.
        objects: which boxes, rounded outwards to whole pixels.
    """

    def __init__(self, photos: FileSource, objects: Sequence[KeypointObject]) -> None:
        self.photos, self.objects = photos, tuple(objects)

    def __len__(self) -> int:
        return len(self.objects)

    def name(self, index: int) -> str:
        """Return the photo's name and the box."""
        x, y, width, height = self.objects[index].box
        photo = self.photos.name(self.objects[index].image)
        return f"{photo}[{x:g},{y:g},{width:g},{height:g}]"

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return the box as (H, W, 3) uint8 RGB.

        Raises:
            DenseCLError: the photo cannot be read, or is of another size than the JSON says.
        """
        wanted = self.objects[index]
        photo = self.photos.load(wanted.image)
        size = photo.shape[1], photo.shape[0]
        if size != wanted.photo_size:
            width, height = wanted.photo_size
            raise DenseCLError(
                f"'{self.photos.name(wanted.image)}' has {size[0]}x{size[1]} pixels, and its key"
                f" points are of a photo with {width:g}x{height:g}. Give the photos that the JSON"
                " belongs to."
            )
        x1, y1, x2, y2 = self.pixels(index)
        return np.ascontiguousarray(photo[y1:y2, x1:x2])

    def pixels(self, index: int) -> tuple[int, int, int, int]:
        """Return the corners of what ``load`` cuts out: x1, y1, x2, y2."""
        x, y, width, height = self.objects[index].box
        return int(np.floor(x)), int(np.floor(y)), int(np.ceil(x + width)), int(np.ceil(y + height))

    def identity(self) -> str:
        """Return 16 hexadecimal digits over the names of the photos and what is said of them."""
        return identity(
            f"{self.photos.relative_name(o.image)} {o.category} {o.box} {o.points.tolist()}"
            f" {o.visible.tolist()}"
            for o in self.objects
        )

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over the photos and the boxes."""
        return self._with_boxes(self.photos.fingerprint())

    def stamp(self) -> str:
        """Return 16 hexadecimal digits over the photos as they are now and the boxes."""
        return self._with_boxes(self.photos.stamp())

    def _with_boxes(self, text: str) -> str:
        boxes = "".join(f" {each.image} {each.box}" for each in self.objects)
        return hashlib.sha256((text + boxes).encode()).hexdigest()[:16]


def read_objects(
    annotations: str | Path, images: str | Path | None = None, min_points: int = 3
) -> ObjectCrops:
    """Return the objects of a COCO keypoints JSON that have enough visible points.

    Args:
        annotations: JSON whose annotations have ``keypoints`` (x, y, visibility of each; 2 is
            visible) and ``bbox``, and whose images have ``width`` and ``height``.
        images: folder of the photos; found from the JSON if not given.
        min_points: fewer visible points, and the object is left out. Crowds are, too.

    Raises:
        DenseCLError: no COCO JSON, no such object, or a category with other numbers of points.
    """
    content, photos = read_coco(annotations), CocoSource(annotations, images)
    wrong = f"'{annotations}' is no COCO file of key points"
    try:
        numbers = {image["id"]: number for number, image in enumerate(content["images"])}
        listed = [
            _object(each, numbers[each["image_id"]], content["images"][numbers[each["image_id"]]])
            for each in content.get("annotations", [])
        ]
    except (KeyError, IndexError, TypeError, RuntimeError) as error:
        raise DenseCLError(f"{wrong}: {type(error).__name__} {error}.") from None
    except ValueError as error:
        raise DenseCLError(f"{wrong}: {error}.") from None
    objects = [each for each in listed if each is not None and each.visible.sum() >= min_points]
    if not objects:
        raise DenseCLError(
            f"'{annotations}' has no object with {min_points} visible key points. Its annotations "
            "need 'keypoints' and 'bbox', as COCO's person_keypoints_*.json has."
        )
    points: dict[int, int] = {}
    for each in objects:
        if points.setdefault(each.category, len(each.points)) != len(each.points):
            raise DenseCLError(
                f"'{annotations}' has objects of category {each.category} with"
                f" {points[each.category]} and with {len(each.points)} key points. All of a"
                " category need the same points, visible or not."
            )
    return ObjectCrops(photos, objects)


def _object(
    annotation: dict[str, Any], number: int, image: dict[str, Any]
) -> KeypointObject | None:
    """Return the object of an annotation; None for crowds, and without points or an area.

    Raises:
        ValueError: a visible point that is not in the photo.
    """
    if not annotation.get("keypoints") or annotation.get("iscrowd"):
        return None
    width, height = float(image["width"]), float(image["height"])
    x, y, w, h = (float(value) for value in annotation["bbox"])
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
    if not (right - left >= 1 and bottom - top >= 1):  # nor with NaN
        return None
    points = torch.tensor(annotation["keypoints"], dtype=torch.float32).reshape(-1, 3)
    places, visible = points[:, :2], points[:, 2] == 2
    inside = (places >= 0) & (places <= torch.tensor([width, height]))  # NaN is not
    if not inside[visible].all():
        x, y = places[visible & ~inside.all(dim=1)][0].tolist()
        raise ValueError(
            f"annotation {annotation.get('id')} has a visible point at ({x:g}, {y:g}), outside its"
            f" photo of {width:g}x{height:g} pixels; if photo and JSON belong together, make its"
            " visibility 0"
        )
    box = (left, top, right - left, bottom - top)
    category = int(annotation["category_id"])
    return KeypointObject(number, (width, height), category, box, places, visible)
