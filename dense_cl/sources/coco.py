"""Images that a COCO-format JSON lists (their labels are not used), and where they lie."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.registry import SOURCES
from dense_cl.sources.decode import MAX_PIXELS
from dense_cl.sources.files import FileSource

_PROBES = 16  # files looked for in each candidate folder
_KIND_OF_FILE = re.compile(r"^(instances|captions|person_keypoints|image_info|panoptic|stuff)_")


@SOURCES.register_module()
class CocoSource(FileSource):
    """The images of a COCO-format JSON, in its order, without their labels.

    Args:
        annotations: the JSON.
        image_root: folder of the images; guessed when not given (``resolve_image_root``).
        max_pixels: larger images are unreadable.

    Raises:
        DenseCLError: not a COCO file, no images listed, or their folder is not found.
    """

    def __init__(
        self,
        annotations: str | Path,
        image_root: str | Path | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        content = read_coco(annotations)
        root = resolve_image_root(content, annotations, image_root)
        super().__init__(root, [image["file_name"] for image in content["images"]], max_pixels)


def read_coco(annotations: str | Path) -> dict[str, Any]:
    """Return the content of a COCO-format JSON whose ``images`` have file names.

    Raises:
        DenseCLError: missing, not JSON, or not COCO.
    """
    path = Path(annotations).expanduser()
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DenseCLError(f"COCO file '{annotations}' cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise DenseCLError(
            f"COCO file '{annotations}' is not valid JSON ({error}). Was its download complete?"
        ) from None
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not all(
        isinstance(image, dict) and isinstance(image.get("file_name"), str) for image in images
    ):
        raise DenseCLError(
            f"'{annotations}' is JSON but not COCO: it needs a list 'images' whose entries have a "
            f"'file_name'."
        )
    if not images:
        raise DenseCLError(f"COCO file '{annotations}' lists no image.")
    return content


def decode_mask(
    segmentation: Any, height: int, width: int, annotations: str | Path
) -> NDArray[np.bool_]:
    """Return the (height, width) mask that an annotation's ``segmentation`` describes.

    Args:
        segmentation: polygons, or run lengths, compressed or not.
        height: of the image.
        width: of the image.
        annotations: the JSON, for messages.

    Raises:
        DenseCLError: it is none of these, or is of another size.
    """
    from pycocotools import mask as coder

    try:
        if isinstance(segmentation, list):
            segmentation = coder.merge(coder.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation["counts"], list):
            segmentation = coder.frPyObjects(segmentation, *segmentation["size"])
        mask = np.array(coder.decode(segmentation), dtype=bool)
    except Exception as error:  # the C code says what it dislikes with all kinds of exceptions
        raise DenseCLError(
            f"'{annotations}' has a mask that is neither polygons nor run lengths ({error})."
        ) from error
    if mask.shape != (height, width):
        raise DenseCLError(
            f"'{annotations}' has a mask of {mask.shape[1]}x{mask.shape[0]} pixels for an image of"
            f" {width}x{height}. They must be equally large."
        )
    return mask


def resolve_image_root(
    annotation_dict: dict[str, Any], json_path: str | Path, image_root: str | Path | None = None
) -> Path:
    """Return the folder that the ``file_name`` entries of a COCO JSON start from.

    Args:
        annotation_dict: content of the JSON (see ``read_coco``).
        json_path: where the JSON lies.
        image_root: the folder, if the user gave it; it is only checked then. Otherwise the usual
            places around the JSON are tried (its folder, ``images/``, ``<split>/``,
            ``images/<split>/``, here and one level up, where ``instances_val2017.json`` has the
            split ``val2017``, and
            ``train_1percent`` is also looked for in ``train``) and the one with most of the first
            files wins.

    Raises:
        DenseCLError: none of the first files is there; names the folders tried.
    """
    names = [image["file_name"] for image in annotation_dict["images"][:_PROBES]]
    here = Path(json_path).expanduser().absolute().parent
    if image_root is not None:
        candidates = [Path(image_root).expanduser()]
    else:
        words = _KIND_OF_FILE.sub("", Path(json_path).stem).split("_")
        splits = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
        places = ["", "images", *splits, *(f"images/{split}" for split in splits)]
        candidates = [base / place for base in (here, here.parent) for place in places]
    found = [sum((folder / name).is_file() for name in names) for folder in candidates]
    best = max(range(len(candidates)), key=lambda i: (found[i], -i))
    if not found[best]:
        tried = ", ".join(f"'{folder}'" for folder in candidates)
        raise DenseCLError(
            f"the images of '{json_path}' are not found: no '{names[0]}' in {tried}. "
            f"Give the folder that their names start from."
        )
    return candidates[best]
