"""Sets of pictures that differ in one thing: rendered, or found in folders."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dense_cl.errors import DenseCLError, nearest
from dense_cl.evaluation.labelled_images import central_square
from dense_cl.sources.base import ImageSource
from dense_cl.sources.folder import FolderSource
from dense_cl.sources.synthetic import FACTORS, render, sample_scene, sweep

SPLIT = "invariance"  # of the scenes: none of these is ever trained on
_BATCH = 32  # reference images that are read together


@dataclass(frozen=True)
class ImageSets:
    """S sets of pictures of one thing each.

    Attributes:
        names: S names.
        load: gives set ``i`` as (K, H, W, 3) uint8 RGB; K may differ.
        classes: S names of what the sets show, or none.
        strengths: how far each picture but the first is changed from the first; none if no picture
            of a set is the original of the others.
        stamp: all that decides picture by picture what ``load`` gives, for caches; features of sets
            without one are not kept.
        fingerprint: of the files they come from, wherever these lie; none for rendered ones.
    """

    names: tuple[str, ...]
    load: Callable[[int], Tensor]
    classes: tuple[str, ...] = ()
    strengths: tuple[float, ...] = ()
    stamp: str = ""
    fingerprint: str = ""


def scene_sets(factor: str, count: int, steps: int, size: int, seed: int = 0) -> ImageSets:
    """Render scenes of which only one factor changes, evenly over its range (see ``sweep``).

    Args:
        factor: one of ``dense_cl.sources.synthetic.FACTORS``.
        count: number of scenes.
        steps: pictures of each, two at least.
        size: side in pixels.
        seed: of the scenes; the same seed gives the same scenes for every factor.

    Raises:
        DenseCLError: unknown factor, too few steps or scenes, or a size that is too small.
    """
    if factor not in FACTORS:
        raise DenseCLError(f"'{factor}' is not a factor of a scene.{nearest(factor, FACTORS)}")
    if steps < 2 or count < 2:
        raise DenseCLError(
            f"{count} scenes of {steps} pictures: two scenes of two pictures at least are needed."
        )
    sample_scene(seed, 0, (size, size), SPLIT)  # complains about the size now

    def load(index: int) -> Tensor:
        scene = sample_scene(seed, index, (size, size), SPLIT)
        pictures = [render(varied).image for varied in sweep(scene, factor, steps)]
        return torch.from_numpy(np.stack(pictures))

    stamp = f"{steps} steps of {factor} of scenes {SPLIT}, seed {seed}, {size} px"
    return ImageSets(tuple(f"scene {index:06d}" for index in range(count)), load, stamp=stamp)


def folder_sets(folder: str | Path, size: int) -> ImageSets:
    """Read a folder with a subfolder for each object, as ALOI has; or class/object/images.

    Sets of a single picture are left out.

    Args:
        folder: the images lie in it one or two levels deep.
        size: side of the central squares that are looked at.

    Raises:
        DenseCLError: no such folder, images beside the sets, or fewer than two sets.
    """
    source = FolderSource(folder)
    members: dict[Path, list[int]] = {}
    for index in range(len(source)):
        members.setdefault(Path(source.relative_name(index)).parent, []).append(index)
    depths = {len(place.parts) for place in members}
    if depths not in ({1}, {2}):
        found = ", ".join(f"'{place}'" for place in sorted(members)[:3])
        raise DenseCLError(
            f"'{folder}' has images in folders of {sorted(depths)} levels ({found}, ...). Sets are "
            "one folder for each object, or class/object, and no image lies beside them."
        )
    places = [place for place, indices in members.items() if len(indices) > 1]
    if len(places) < 2:
        raise DenseCLError(
            f"'{folder}' has {len(places)} folders of two images or more; two sets are needed."
        )

    def load(index: int) -> Tensor:
        pictures = [source.load(member) for member in members[places[index]]]
        return torch.from_numpy(np.stack([central_square(p, size) for p in pictures]))

    classes = tuple(place.parts[0] for place in places) if depths == {2} else ()
    names = tuple(place.as_posix() for place in places)
    stamp = f"sets of {source.stamp()}, {size} px"
    return ImageSets(names, load, classes, stamp=stamp, fingerprint=source.fingerprint())


def reference_sets(source: ImageSource, size: int) -> ImageSets:
    """Return the central squares of all images of a source, so many together.

    Args:
        source: what whitening is learnt from.
        size: side of the squares.
    """
    starts = range(0, len(source), _BATCH)

    def load(index: int) -> Tensor:
        members = range(starts[index], min(starts[index] + _BATCH, len(source)))
        return torch.from_numpy(np.stack([central_square(source.load(i), size) for i in members]))

    names = tuple(f"from {start}" for start in starts)
    return ImageSets(names, load, stamp=f"{_BATCH} together of {source.stamp()}, {size} px")
