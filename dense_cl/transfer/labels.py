"""COCO-format labels for fine-tuning: read, check, and bring into the form MMDetection expects."""

import json
import os
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.data_identity import identity
from dense_cl.sources.coco import read_coco, resolve_image_root
from dense_cl.sources.selection import evenly_spread
from dense_cl.transfer.weights_file import replacing

_LOOKED_AT = 2000  # photos whose sizes are compared before a training
_TURNED = 5  # orientations from here on swap the sides


@dataclass(frozen=True)
class Labels:
    """Images with their annotations.

    Attributes:
        file: the JSON they were read from, for messages.
        image_root: folder the file names start from.
        images: COCO's ``images``.
        annotations: COCO's ``annotations``.
        categories: COCO's ``categories``; their order is the order of the classes.
    """

    file: Path
    image_root: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the categories."""
        return tuple(category["name"] for category in self.categories)

    def subset(self, image_ids: set[Any]) -> "Labels":
        """Return the labels of some of the images."""
        return replace(
            self,
            images=[image for image in self.images if image["id"] in image_ids],
            annotations=[a for a in self.annotations if a["image_id"] in image_ids],
        )

    def files(self) -> set[str]:
        """Return where the images are, whatever path leads there."""
        return {os.path.realpath(self.image_root / image["file_name"]) for image in self.images}

    def identity(self) -> str:
        """Return 16 hexadecimal digits over images, annotations and categories."""
        parts = (self.images, self.annotations, self.categories)
        return identity(json.dumps(entry) for part in parts for entry in part)

    def write(self, path: Path) -> Path:
        """Write as COCO JSON, atomically: each process of a run does, with the same content.

        Raises:
            DenseCLError: these are the labels that were read.
        """
        if path.resolve() == self.file.resolve():
            raise DenseCLError(
                f"'{path}' would be replaced by the part of it that is used. Give another work"
                " folder."
            )
        content = {
            "images": self.images,
            "annotations": self.annotations,
            "categories": self.categories,
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content))
        return path


def read_labels(
    file: str | Path, image_root: str | Path | None = None, masks: bool = False
) -> Labels:
    """Read detection or instance labels.

    What COCO's own files always have and many exports lack is filled in: ``area`` from the box,
    ``iscrowd`` 0, annotation ``id``. Annotations are numbered anew if an id is no positive integer.

    Args:
        file: COCO-format JSON.
        image_root: folder the file names start from; looked for around the JSON if not given.
        masks: whether masks are needed.

    Raises:
        DenseCLError: not COCO; no annotations; an annotation without a box (one without an area
            will do, MMDetection passes over it), with an unknown image or category; repeated ids or
            names; no masks where they are needed; images that are not there (names the first and
            the folder).
    """
    content = read_coco(file)
    for key in ("annotations", "categories"):
        if not content.get(key):
            raise DenseCLError(f"'{file}' has no {key}: labelled images are needed.")
        if not isinstance(content[key], list) or not all(isinstance(e, dict) for e in content[key]):
            raise DenseCLError(f"'{file}' is no COCO file: its {key} are no list of objects.")
    if "segments_info" in content["annotations"][0]:
        raise DenseCLError(f"'{file}' has panoptic labels: take a config named panoptic_fpn_*.")
    images, categories = content["images"], content["categories"]
    check_unique(file, "image id", [image.get("id") for image in images])
    check_unique(file, "category id", [category.get("id") for category in categories])
    check_unique(file, "category name", [category.get("name") for category in categories])
    unsized = [image["file_name"] for image in images if not {"width", "height"} <= image.keys()]
    if unsized:
        raise DenseCLError(f"'{file}': image '{unsized[0]}' has no width and height.")
    image_ids = {image["id"] for image in images}
    category_ids = {category["id"] for category in categories}
    annotations = [
        _completed(annotation, number, file, image_ids, category_ids)
        for number, annotation in enumerate(content["annotations"], start=1)
    ]
    check_unique(file, "annotation id", [annotation["id"] for annotation in annotations])
    if any(not isinstance(a["id"], int) or a["id"] < 1 for a in annotations):
        # pycocotools takes an object with the id 0 for one that was not found.
        annotations = [{**a, "id": number} for number, a in enumerate(annotations, start=1)]
    root = resolve_image_root(content, file, image_root)
    labels = Labels(Path(file), root, images, annotations, categories)
    check_files(labels)
    if masks:
        _check_masks(labels)
    return labels


def with_categories_of(val: Labels, train: Labels) -> Labels:
    """Return ``val`` with the categories of ``train``, whose order numbers the classes.

    MMDetection numbers the classes by the order of each file's categories, so two files with the
    same categories in another order would silently be scored against the wrong classes.

    Raises:
        DenseCLError: the files give one id two names, or ``val`` has categories ``train`` lacks.
    """
    ours = {category["id"]: category["name"] for category in train.categories}
    theirs = {category["id"]: category["name"] for category in val.categories}
    for key, name in theirs.items():
        if ours.get(key) != name:
            said = f"'{ours[key]}'" if key in ours else "not there"
            raise DenseCLError(
                f"category {key} is '{name}' in '{val.file}' and {said} in '{train.file}': both"
                " files must use the same category ids."
            )
    return replace(val, categories=train.categories)


def _completed(
    annotation: Mapping[str, Any],
    number: int,
    file: str | Path,
    image_ids: set[Any],
    category_ids: set[Any],
) -> dict[str, Any]:
    """Return an annotation with every field MMDetection and pycocotools read."""
    box = annotation.get("bbox")
    where = f"'{file}': annotation {annotation.get('id', number)}"
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(_finite(value) for value in box)
        or min(box[2:]) < 0
    ):
        raise DenseCLError(f"{where} has no box [x, y, width, height] (bbox: {box}).")
    for key, known in (("image_id", image_ids), ("category_id", category_ids)):
        # A list is equal to no key of COCO, and cannot be looked up in a set.
        if isinstance(annotation.get(key), list | dict) or annotation.get(key) not in known:
            raise DenseCLError(f"{where} has the unknown {key} {annotation.get(key)}.")
    # Fields of the annotation win over the defaults.
    return {"id": number, "area": box[2] * box[3], "iscrowd": 0, **annotation}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < float("inf")


def check_unique(file: str | Path, what: str, values: list[Any]) -> None:
    """Raise if a value is missing, is a list or an object, or occurs twice."""
    nested = next((value for value in values if isinstance(value, list | dict)), None)
    if nested is not None:
        raise DenseCLError(f"'{file}': {what} {nested} is neither a number nor a text.")
    value, count = Counter(values).most_common(1)[0]
    if value is None or count > 1:
        problem = "is missing" if value is None else f"{value!r} occurs {count} times"
        raise DenseCLError(f"'{file}': {what} {problem}.")


def check_files(labels: Labels) -> None:
    """Raise if an image is not there."""
    names = [image["file_name"] for image in labels.images]
    missing = [name for name in names if not (labels.image_root / name).is_file()]
    if missing:
        raise DenseCLError(
            f"{len(missing)} of the {len(names)} images of '{labels.file}' are not in"
            f" '{labels.image_root}'; the first is '{missing[0]}'."
        )


def check_photos(labels: Labels) -> None:
    """Check that evenly spread photos are images of the sizes that the labels say, as turned.

    Raises:
        DenseCLError: one is no image, or of another size: its objects would lie elsewhere.
    """
    for index in evenly_spread(len(labels.images), _LOOKED_AT):
        entry = labels.images[index]
        file = labels.image_root / entry["file_name"]
        try:
            width, height = _size(file)
        except Image.DecompressionBombError:
            continue  # more pixels than Pillow opens, and OpenCV does
        except (OSError, SyntaxError, ValueError) as error:
            reason = "it is empty" if not file.stat().st_size else error
            raise DenseCLError(f"image '{file}' cannot be read: {reason}") from None
        if (entry["width"], entry["height"]) != (width, height):
            raise DenseCLError(
                f"'{labels.file}' says {entry['width']}x{entry['height']} for"
                f" '{entry['file_name']}', which is {width}x{height}: its objects would lie"
                " elsewhere. Give the JSON that belongs to these images."
            )


def _size(file: Path) -> tuple[int, int]:
    """Return width and height of an image as MMDetection reads it, from its header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(file) as picture:
            # OpenCV turns these; Pillow has turned a TIFF already.
            exif = picture.getexif() if picture.format in ("JPEG", "MPO") else {}
            turned = exif.get(ExifTags.Base.Orientation, 1) >= _TURNED
            return picture.size[::-1] if turned else picture.size


def _check_masks(labels: Labels) -> None:
    without = sum(not annotation.get("segmentation") for annotation in labels.annotations)
    if without:
        raise DenseCLError(
            f"{without} of the {len(labels.annotations)} annotations of '{labels.file}' have no"
            " mask (segmentation), which this config trains on. Boxes suffice for the configs named"
            " faster_rcnn_* and retinanet_*."
        )
