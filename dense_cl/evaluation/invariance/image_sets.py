"""Sets of pictures that differ in one thing: rendered, or found in folders."""

import re
from collections.abc import Callable, Sequence
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


def folder_sets(folder: str | Path, size: int, group: str | None = None) -> ImageSets:
    """Read a folder with a subfolder for each object, or class/object/images.

    Sets of a single picture are left out.

    Args:
        folder: the images lie in it one or two levels deep; with ``group`` anyhow.
        size: side of the central squares that are looked at.
        group: regular expression, searched for in each path below ``folder``: what its groups
            match is the name of the set, and the group ``(?P<class>...)``, if any, the class.

    Raises:
        DenseCLError: no such folder, images beside the sets, fewer than two sets, or a ``group``
            that is none or does not occur in a path.
    """
    source = FolderSource(folder)
    names = [Path(source.relative_name(index)).as_posix() for index in range(len(source))]
    # Of each picture the parts of its set's name, the class first if there are any.
    parts = _matched(names, group) if group else [Path(name).parent.parts for name in names]
    depths = {len(each) for each in parts}
    if not group and depths not in ({1}, {2}):
        places = sorted({"/".join(each) or "." for each in parts})[:3]
        found = ", ".join(f"'{place}'" for place in places)
        raise DenseCLError(
            f"'{folder}' has images in folders of {sorted(depths)} levels ({found}, ...). Sets are "
            "one folder for each object, or class/object, and no image lies beside them; --group "
            "makes sets of other names."
        )
    members: dict[tuple[str, ...], list[int]] = {}
    for index, each in enumerate(parts):
        members.setdefault(each, []).append(index)
    sets = [each for each, indices in members.items() if len(indices) > 1]
    if len(sets) < 2:
        raise DenseCLError(
            f"'{folder}' has {len(sets)} sets of two images or more; two sets are needed."
        )

    def load(index: int) -> Tensor:
        pictures = [source.load(member) for member in members[sets[index]]]
        return torch.from_numpy(np.stack([central_square(p, size) for p in pictures]))

    has_classes = "class" in re.compile(group).groupindex if group else depths == {2}
    classes = tuple(each[0] for each in sets) if has_classes else ()
    stamp = f"sets of {source.stamp()}, {group or 'folders'}, {size} px"
    return ImageSets(
        tuple("/".join(each) for each in sets),
        load,
        classes,
        stamp=stamp,
        fingerprint=source.fingerprint(),
    )


def _matched(names: Sequence[str], group: str) -> list[tuple[str, ...]]:
    """Return what the groups of an expression match in each name, that of the class first."""
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise DenseCLError(f"--group '{group}' is no regular expression: {error}.") from None
    if not pattern.groups:
        raise DenseCLError(f"--group '{group}' has no group; put (...) around what names a set.")
    first = pattern.groupindex.get("class")
    order = sorted(range(1, pattern.groups + 1), key=lambda number: number != first)
    matched = []
    for name in names:
        found = pattern.search(name)
        if found is None:
            raise DenseCLError(f"--group '{group}' does not match '{name}'.")
        matched.append(tuple(found[number] or "" for number in order))
    return matched


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
