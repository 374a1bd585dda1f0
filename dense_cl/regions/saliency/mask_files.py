"""Which file of a folder belongs to which image: by the relative name, or not at all."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dense_cl.errors import DenseCLError
from dense_cl.paths import files_below
from dense_cl.regions.provider import RegionProvider, relative_names
from dense_cl.sources.base import ImageSource

SUFFIXES = (".png", ".jpg", ".jpeg")


def mask_names(source: ImageSource, provider: RegionProvider) -> list[str]:
    """Return for every image the name, without suffix, of its mask below any folder of masks.

    Raises:
        DenseCLError: the images are no files; one lies outside of the root of its source, so that
            its name is none below another folder; or two would have the same mask.
    """
    images = relative_names(source, provider)
    names = [os.path.splitext(os.path.normpath(image))[0] for image in images]
    who = f"regions {type(provider).__name__}"
    for image, name in zip(images, names, strict=True):
        if os.path.isabs(name) or name.split(os.sep)[0] == os.pardir:
            raise DenseCLError(
                f"{who}: image '{image}' lies outside of the root of its source, so that no mask"
                " has its name. Give the folder above all images: --cfg-options"
                " train_dataloader.dataset.source.root=FOLDER."
            )
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        alike = [image for image, other in zip(images, names, strict=True) if other == name]
        if alike[0] == alike[1]:
            raise DenseCLError(f"{who}: image '{alike[0]}' is there twice. List it once.")
        raise DenseCLError(
            f"{who}: images '{alike[0]}' and '{alike[1]}' would have the same mask. Rename one."
        )
    return names


def find_masks(root: str, names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Look through a folder once.

    Args:
        root: the folder, with subfolders; hidden entries are passed over.
        names: of ``mask_names``.

    Returns:
        The file of each name that has one, relative to ``root``, empty files and broken links left
        out; and the masks that belong to none of the names.

    Raises:
        DenseCLError: there is no such folder, or a name has two files.
    """
    if not os.path.isdir(root):
        raise DenseCLError(f"folder of masks '{root}' does not exist.")
    wanted = set(names)
    found: dict[str, str] = {}
    others: list[str] = []
    for relative in sorted(files_below(root, tuple(SUFFIXES), repeated=True)):
        path, name = Path(root, relative), os.path.splitext(relative)[0]
        if name not in wanted:
            others.append(relative)
        elif name in found:
            raise DenseCLError(
                f"'{found[name]}' and '{relative}' in '{root}' are masks of the same image."
                " Remove one."
            )
        elif path.is_file() and path.stat().st_size:
            found[name] = relative
    return found, others
