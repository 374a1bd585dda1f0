"""COCO-panoptic labels for fine-tuning: a JSON of segments and a PNG for each image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dense_cl.errors import DenseCLError
from dense_cl.sources.coco import read_coco, resolve_image_root
from dense_cl.transfer.labels import Labels, check_files, check_unique


@dataclass(frozen=True)
class PanopticLabels(Labels):
    """Images with segments; things come before stuff in the categories.

    Attributes:
        segment_root: folder of the PNGs.
    """

    segment_root: Path

    @property
    def things(self) -> tuple[str, ...]:
        """Names of the classes that are counted; the first ones."""
        return tuple(c["name"] for c in self.categories if c["isthing"])


def read_panoptic_labels(file: str | Path, image_root: str | Path | None = None) -> PanopticLabels:
    """Read panoptic labels in COCO's format.

    The PNGs are in a folder beside the JSON that has its name, as COCO has them, and each is named
    as its image, with ``.png`` for ``.jpg``.

    Args:
        file: the JSON.
        image_root: folder the image names start from; looked for around the JSON if not given.

    Raises:
        DenseCLError: not panoptic COCO; only things or only stuff; repeated ids or names; images
            or PNGs that are not there.
    """
    content = read_coco(file)
    annotations, categories = content.get("annotations"), content.get("categories")
    if not annotations or not categories:
        raise DenseCLError(f"'{file}' has no annotations or no categories.")
    if any("segments_info" not in a for a in annotations) or any(
        "isthing" not in c for c in categories
    ):
        raise DenseCLError(
            f"'{file}' has no panoptic labels (segments_info in its annotations, isthing in its"
            " categories). Boxes and masks are for the configs named faster_rcnn_*, mask_rcnn_*"
            " and retinanet_*."
        )
    if len({bool(category["isthing"]) for category in categories}) < 2:
        raise DenseCLError(f"'{file}': Panoptic-FPN needs categories of things and of stuff.")
    check_unique(file, "image id", [image.get("id") for image in content["images"]])
    check_unique(file, "category id", [category.get("id") for category in categories])
    check_unique(file, "category name", [category.get("name") for category in categories])
    unsized = [i["file_name"] for i in content["images"] if not {"width", "height"} <= i.keys()]
    if unsized:
        raise DenseCLError(f"'{file}': image '{unsized[0]}' has no width and height.")
    known = {category["id"] for category in categories}
    for annotation in annotations:
        for segment in annotation["segments_info"]:
            if not {"bbox", "area"} <= segment.keys():
                raise DenseCLError(
                    f"'{file}': a segment of image {annotation.get('image_id')} has no bbox or no"
                    " area, which COCO's own files have."
                )
            if segment.get("category_id") not in known:
                raise DenseCLError(
                    f"'{file}': a segment of image {annotation.get('image_id')} has the unknown"
                    f" category_id {segment.get('category_id')}."
                )
    segments = Path(file).absolute().with_suffix("")
    labels = PanopticLabels(
        Path(file),
        resolve_image_root(content, file, image_root),
        content["images"],
        [_completed(annotation) for annotation in annotations],
        # A stable sort: MMDetection takes the first classes for the things.
        sorted(categories, key=lambda category: not category["isthing"]),
        segments,
    )
    check_files(labels)
    names = [image["file_name"].replace(".jpg", ".png") for image in labels.images]
    missing = [name for name in names if not (segments / name).is_file()]
    if missing:
        raise DenseCLError(
            f"{len(missing)} of the {len(names)} PNGs of '{file}' are not in '{segments}'; the"
            f" first is '{missing[0]}'."
        )
    return labels


def _completed(annotation: dict[str, Any]) -> dict[str, Any]:
    """Return an annotation that says as a whole, as boxes do, whether it is nothing but crowds."""
    segments = [{"iscrowd": 0, **segment} for segment in annotation["segments_info"]]
    crowds = all(segment["iscrowd"] for segment in segments)
    return {**annotation, "segments_info": segments, "iscrowd": int(crowds)}
