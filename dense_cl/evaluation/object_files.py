"""Photos with objects as files have them: a COCO JSON, or a folder of masks."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.evaluation.objects import AnnotatedImages, ImageObjects, Mask
from dense_cl.sources.coco import decode_mask
from dense_cl.sources.files import load_image
from dense_cl.transfer.labels import Labels, read_labels

_BYTE_VALUES = 256
_BRIGHT = 128  # a pixel of a grey mask is salient above it, as PySODMetrics has it


class CocoImages(AnnotatedImages):
    """The objects of a COCO JSON; crowds are none.

    Attributes:
        labels: content of the JSON.
        supercategories: of the categories that have one, by name.

    Args:
        annotations: the JSON.
        images: folder its file names start from; looked for around the JSON if not given.

    Raises:
        DenseCLError: not COCO, no annotations, a broken one, or images that are not there.
    """

    def __init__(self, annotations: str | Path, images: str | Path | None = None) -> None:
        self.labels: Labels = read_labels(annotations, images)
        self._names = {c["id"]: c["name"] for c in self.labels.categories}
        self.supercategories = {
            c["name"]: c["supercategory"] for c in self.labels.categories if c.get("supercategory")
        }
        self._objects: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for annotation in self.labels.annotations:
            if not annotation["iscrowd"]:
                self._objects[annotation["image_id"]].append(annotation)

    def __len__(self) -> int:
        return len(self.labels.images)

    def name(self, index: int) -> str:
        """Return the file name in the JSON."""
        return self.labels.images[index]["file_name"]

    def files(self) -> list[Path]:
        """Return the photos."""
        return [self.labels.image_root / image["file_name"] for image in self.labels.images]

    def identity(self) -> str:
        """Return 16 hexadecimal digits over the content of the JSON."""
        return self.labels.identity()

    def load(self, index: int) -> ImageObjects:
        """Read a photo and its objects."""
        entry = self.labels.images[index]
        image = load_image(self.labels.image_root / entry["file_name"])
        height, width = image.shape[:2]
        if (entry["height"], entry["width"]) != (height, width):
            raise DenseCLError(
                f"'{self.labels.file}' says {entry['width']}x{entry['height']} for"
                f" '{entry['file_name']}', which is {width}x{height}: its objects would lie"
                " elsewhere. Give the JSON that belongs to these images."
            )
        objects = self._objects[entry["id"]]
        xywh = np.array([o["bbox"] for o in objects], dtype=np.float64).reshape(-1, 4)
        corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        boxes = corners.clip(0, [width, height, width, height])
        inside = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
        kept = [o for o, keep in zip(objects, inside, strict=True) if keep]
        return ImageObjects(
            image,
            boxes[inside],
            self._masks(kept, height, width),
            tuple(self._names[o["category_id"]] for o in kept),
            int((~inside).sum()),
        )

    def _masks(self, objects: list[Mapping[str, Any]], height: int, width: int) -> Mask | None:
        coded = [o.get("segmentation") for o in objects]
        if not coded or not all(coded):
            return None
        return np.stack([decode_mask(c, height, width, self.labels.file) for c in coded])


class MaskImages(AnnotatedImages):
    """Photos and masks of the same names; each connected part of a mask is an object.

    In a mask of 0 and 1 the objects are 1; in others they are what is brighter than 128, as in
    PySODMetrics. One with values above 1 and none above 128 is an error: those are classes. Parts
    that touch at a corner are one.

    Args:
        images: folder of photos.
        masks: folder of single-channel pictures as large as their photos.

    Raises:
        DenseCLError: a folder is missing or empty, or a photo has no mask.
    """

    def __init__(self, images: str | Path, masks: str | Path) -> None:
        self.root = Path(images)
        self.folders = MaskFolders.find(images, masks, _BYTE_VALUES)

    def __len__(self) -> int:
        return len(self.folders)

    def name(self, index: int) -> str:
        """Return the path of a photo below the folder of photos."""
        return str(self.folders.pairs[index][0].relative_to(self.root))

    def identity(self) -> str:
        """Return 16 hexadecimal digits over the names of the photos and the files of masks."""
        return self.folders.identity()

    def load(self, index: int) -> ImageObjects:
        """Read a photo and the connected parts of its mask.

        Raises:
            DenseCLError: the mask is wrong: see ``MaskFolders.values``; or it holds classes.
        """
        image_file, mask_file = self.folders.pairs[index]
        image = load_image(image_file)
        values = self.folders.values(index)
        highest = int(values.max())
        if highest >= _BYTE_VALUES:
            raise DenseCLError(
                f"mask '{mask_file}' holds the value {highest}; the masks of objects have 8 bits, 0"
                " to 255. Divide its values by 257 if it has 16 bits."
            )
        if 1 < highest <= _BRIGHT:
            raise DenseCLError(
                f"mask '{mask_file}' holds values of 0..{highest}, which are neither 0 and 1 nor 0"
                " to 255. Give masks in which objects are 255, or a COCO JSON for objects of"
                " several classes."
            )
        salient = values > (0 if highest <= 1 else _BRIGHT)
        parts, _ = ndimage.label(salient, structure=np.ones((3, 3)))
        boxes = [
            [columns.start, rows.start, columns.stop, rows.stop]
            for rows, columns in ndimage.find_objects(parts)
        ]
        return ImageObjects(
            image,
            np.array(boxes, dtype=np.float64).reshape(-1, 4),
            None,
            ("object",) * len(boxes),
            union=salient,
        )


def find_images(
    images: str | Path | None, annotations: str | Path | None, masks: str | Path | None
) -> AnnotatedImages:
    """Return photos with a JSON or with masks, whichever is given.

    Raises:
        DenseCLError: both or neither are given, or what is given is wrong.
    """
    if (annotations is None) == (masks is None):
        raise DenseCLError("give either --annotations (COCO JSON) or --masks (folder), one of them")
    if annotations is not None:
        return CocoImages(annotations, images)
    if images is None:
        raise DenseCLError("--masks needs --images, the folder of the photos they belong to")
    assert masks is not None
    return MaskImages(images, masks)
