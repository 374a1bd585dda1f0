"""Tiny COCO-format sets of coloured rectangles."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

CATEGORIES = [{"id": 7, "name": "red"}, {"id": 3, "name": "green"}, {"id": 5, "name": "blue"}]


def annotation(number: int, image_id: int, box: list[int], category: int, mask: bool) -> dict:
    x, y, w, h = box
    polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
    fields = {"id": number, "image_id": image_id, "bbox": box, "category_id": category}
    complete = {"area": w * h, "iscrowd": 0, "segmentation": [polygon]}
    return {**fields, **(complete if mask else {})}


def write_set(folder: Path, count: int = 6, masks: bool = True, seed: int = 0) -> Path:
    """Write images of 64 x 48 pixels with two rectangles each; return the JSON."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for image_id in range(1, count + 1):
        canvas = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8)
        for _ in range(2):
            kind = int(rng.integers(3))
            x, y = int(rng.integers(0, 36)), int(rng.integers(0, 20))
            canvas[y : y + 26, x : x + 26, kind] = 230
            annotations.append(
                annotation(len(annotations) + 1, image_id, [x, y, 26, 26],
                           CATEGORIES[kind]["id"], masks)
            )  # fmt: skip
        name = f"{image_id:03}.png"
        Image.fromarray(canvas).save(folder / "images" / name)
        images.append({"id": image_id, "file_name": name, "width": 64, "height": 48})
    file = folder / "labels.json"
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    file.write_text(json.dumps(content))
    return file


def edit(file: Path, out: str, change) -> Path:
    """Write a changed copy beside ``file``."""
    content = json.loads(file.read_text())
    change(content)
    path = file.with_name(out)
    path.write_text(json.dumps(content))
    return path
