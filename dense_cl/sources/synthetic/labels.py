"""The files of one scene, and its entries in a COCO instance file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dense_cl.sources.synthetic.render import render
from dense_cl.sources.synthetic.scene import sample_scene
from dense_cl.sources.synthetic.shapes import CATEGORIES

_JPEG_QUALITY = 92


@dataclass(frozen=True)
class SceneLabels:
    """One image entry of a COCO file and its annotations, which still lack their ids."""

    image: dict[str, Any]
    annotations: list[dict[str, Any]]


def write_scene(
    folder: Path, split: str, size: tuple[int, int], seed: int, image_format: str, index: int
) -> SceneLabels:
    """Render a scene, write its picture, semantic map and factors, and return its labels."""
    scene = sample_scene(seed, index, size, split)
    rendering = render(scene)
    stem = f"{index:06d}"
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if image_format == "jpg" else []
    _, picture = cv2.imencode(f".{image_format}", rendering.image[..., ::-1], quality)
    (folder / split / f"{stem}.{image_format}").write_bytes(picture.tobytes())
    _, semantic = cv2.imencode(".png", rendering.semantic)
    (folder / "semantic" / split / f"{stem}.png").write_bytes(semantic.tobytes())

    facts = scene.to_dict()
    areas = zip(rendering.amodal_area, rendering.visible_area, strict=True)
    for item, (amodal, visible) in zip(facts["objects"], areas, strict=True):
        item.update(amodal_area=amodal, visible_area=visible)
    (folder / "factors" / split / f"{stem}.json").write_text(json.dumps(facts, indent=1) + "\n")

    height, width = scene.size
    image = {"id": index + 1, "file_name": f"{stem}.{image_format}"}
    return SceneLabels(
        image=image | {"height": height, "width": width},
        annotations=[
            {"image_id": index + 1, "category_id": item.category + 1, "object": position}
            | _describe(rendering.instances == position + 1)
            for position, item in enumerate(scene.objects)
            if rendering.visible_area[position]
        ],
    )


def write_coco(path: Path, labels: list[SceneLabels]) -> None:
    """Write a COCO instance file; ``object`` is the position in the list of ``factors/``."""
    annotations = [annotation for label in labels for annotation in label.annotations]
    content = {
        "info": {"description": "synthetic scenes of dense_cl"},
        "images": [label.image for label in labels],
        "annotations": [{"id": i + 1} | item for i, item in enumerate(annotations)],
        "categories": [
            {"id": i + 1, "name": name, "supercategory": "shape"}
            for i, name in enumerate(CATEGORIES)
        ],
    }
    path.write_text(json.dumps(content))


def _describe(mask: np.ndarray) -> dict[str, Any]:
    """Return box (x, y, width, height), area and run-length mask of an (H, W) bool mask."""
    from pycocotools import mask as run_lengths

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    encoded = run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")},
        "iscrowd": 0,
    }
