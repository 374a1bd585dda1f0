"""Masks and boxes that a COCO-format JSON lists."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.regions.provider import IndexedProvider, as_label_map, relative_names
from dense_cl.regions.regions import ImageRegions
from dense_cl.registry import REGIONS
from dense_cl.sources.base import ImageSource
from dense_cl.sources.coco import decode_mask, read_coco


@REGIONS.register_module()
class CocoRegions(IndexedProvider):
    """The annotated objects of each image, without their classes: boxes, and a label map.

    Region i is the i-th annotation of the image that is no crowd. Where masks overlap, the
    smaller object is in front. The annotations stay in memory; for sets of COCO's size put a
    ``RegionCache`` before them.

    Args:
        annotations: the JSON.
        masks: False for boxes only, where there are no masks.

    Raises:
        DenseCLError: not a COCO file, or one without the ids and boxes of objects.
    """

    def __init__(self, annotations: str, masks: bool = True) -> None:
        content = read_coco(annotations)
        _require(annotations, "images", content["images"], ("id",))
        objects = content.get("annotations", [])
        _require(annotations, "annotations", objects, ("image_id", "bbox"))
        self.annotations, self.masks = annotations, masks
        self._digest = hashlib.sha256(Path(annotations).expanduser().read_bytes()).hexdigest()
        self._objects: list[list[Mapping[str, Any]]] = []
        self._sizes: list[tuple[int, int]] = []
        by_image: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for item in objects:
            if not item.get("iscrowd"):
                by_image[item["image_id"]].append(
                    {"bbox": item["bbox"], "segmentation": masks and item.get("segmentation")}
                )
        names = Counter(image["file_name"] for image in content["images"])
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            raise DenseCLError(
                f"regions CocoRegions: '{annotations}' lists image '{twice}' twice, each time with"
                " annotations of its own. Make one entry of them."
            )
        self._of_name = {
            image["file_name"]: (by_image[image["id"]], (image.get("height"), image.get("width")))
            for image in content["images"]
        }

    def settings(self) -> dict[str, Any]:
        """Return the options, with the content of the JSON in place of its path."""
        return {"type": "CocoRegions", "annotations": self._digest, "masks": self.masks}

    def bind(self, source: ImageSource) -> None:
        """Find the annotations of every image."""
        names = relative_names(source, self)
        missing = [name for name in names if name not in self._of_name]
        if missing:
            raise DenseCLError(
                f"regions CocoRegions: '{self.annotations}' does not list {len(missing)} of"
                f" {len(names)} images, for example '{missing[0]}'. Give the JSON of these images."
            )
        known = [self._of_name[name] for name in names]
        self._objects, self._sizes = [k[0] for k in known], [k[1] for k in known]

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Return boxes, and masks drawn into one label map."""
        height, width = image.shape[:2]
        if self._sizes[index] != (height, width):
            raise DenseCLError(
                f"'{self.annotations}' says {self._sizes[index]} for the height and width of an"
                f" image of {(height, width)}: its annotations would lie elsewhere"
            )
        objects = self._objects[index]
        xywh = np.array([item["bbox"] for item in objects], dtype=np.float32).reshape(-1, 4)
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        boxes = boxes.clip(0, np.array([width, height, width, height], dtype=np.float32))
        return ImageRegions(self._draw(objects, height, width) if self.masks else None, boxes)

    def _draw(self, objects: list[Mapping[str, Any]], height: int, width: int) -> NDArray[np.int16]:
        masks = [self._mask(item["segmentation"], height, width) for item in objects]
        label_map = np.full((height, width), -1)
        for number in sorted(range(len(masks)), key=lambda i: -masks[i].sum()):
            label_map[masks[number]] = number
        return as_label_map(label_map)

    def _mask(self, segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
        if not segmentation:
            raise DenseCLError(
                f"'{self.annotations}' has objects without a mask: set masks=False for boxes only"
            )
        return decode_mask(segmentation, height, width, self.annotations)


def _require(annotations: str, key: str, entries: Any, fields: tuple[str, ...]) -> None:
    """Refuse entries that lack a field, as those of captions and of panoptic labels do."""
    for number, entry in enumerate(entries):
        missing = [field for field in fields if field not in entry]
        if missing:
            raise DenseCLError(
                f"regions CocoRegions: '{annotations}': {key}[{number}] has no '{missing[0]}'. Give"
                " a JSON of objects, as COCO's instances_*.json: images with 'id', annotations with"
                " 'image_id' and 'bbox'."
            )
