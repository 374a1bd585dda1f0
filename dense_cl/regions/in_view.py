"""Regions of a source image through the geometry of a view."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.regions.regions import ImageRegions, RegionBatch, ViewRegions
from dense_cl.views.geometry import Size, ViewGeometry, clip_polygon, signed_area


def regions_in_view(regions: ImageRegions, geometry: ViewGeometry) -> ViewRegions:
    """Show regions as a view sees them; ids stay what they are."""
    label_map, boxes, visible = None, None, None
    if regions.label_map is not None:
        label_map = _label_map(regions.label_map, geometry)
    if regions.boxes is not None:
        source = ViewGeometry.identity(geometry.source_size)
        boxes = source.map_boxes_to(geometry, regions.boxes).astype(np.float32)
        visible = visible_share(regions.boxes, geometry)
    return ViewRegions(label_map, boxes, visible)


def stack_regions(regions: Sequence[ViewRegions | None]) -> RegionBatch | None:
    """Collate what one view of each image shows; boxes are filled up with rows of zeros.

    Raises:
        DenseCLError: a provider gave boxes, or label maps, for some images only.
    """
    shown = [view for view in regions if view is not None]
    if not shown:
        return None
    boxes = _gather([view.boxes for view in shown], "boxes")
    visible = _gather([view.visible for view in shown], "boxes")
    label_maps = _gather([view.label_map for view in shown], "label maps")
    return RegionBatch(
        label_map=None if label_maps is None else torch.from_numpy(np.stack(label_maps)),
        boxes=None if boxes is None else _padded(boxes),
        visible=None if visible is None else _padded(visible),
    )


def visible_share(boxes: NDArray[np.float32], geometry: ViewGeometry) -> NDArray[np.float32]:
    """Share of the area of each (N, 4) source box that a view shows: (N,) in [0, 1]."""
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    area = (x2 - x1) * (y2 - y1)
    outline = geometry.outline()
    low, high = outline.min(axis=0), outline.max(axis=0)
    width = np.minimum(x2, high[0]) - np.maximum(x1, low[0])
    height = np.minimum(y2, high[1]) - np.maximum(y1, low[1])
    seen = width.clip(min=0) * height.clip(min=0)
    if geometry.within or not is_upright(geometry):  # less than the upright box around it
        for index in np.flatnonzero(seen):
            shown = boxes[index].astype(np.float64)[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
            for view in (geometry, *geometry.within):
                shown = clip_polygon(shown, view.outline())
            seen[index] = abs(signed_area(shown))
    return (seen / area.clip(min=1e-9)).clip(max=1).astype(np.float32)


def is_upright(geometry: ViewGeometry) -> bool:
    """Whether boxes stay boxes: no rotation but by quarter turns, no shear."""
    linear = geometry.matrix[:, :2]
    scale = 1e-9 * np.abs(linear).max()
    return bool((np.abs(np.diag(linear)) <= scale).all()
                or (np.abs(np.diag(linear[:, ::-1])) <= scale).all())  # fmt: skip


def _label_map(label_map: NDArray[np.int16], geometry: ViewGeometry) -> NDArray[np.int16]:
    size: Size = (label_map.shape[0], label_map.shape[1])
    height, width = geometry.source_size
    whole = ViewGeometry.from_box((0, 0, width, height), size, geometry.source_size)
    return whole.map_mask_to(geometry, label_map, fill=-1)


def _gather(arrays: Sequence[NDArray | None], what: str) -> list[NDArray] | None:
    given = [array for array in arrays if array is not None]
    if given and len(given) < len(arrays):
        raise DenseCLError(
            f"the region provider gave {what} for {len(given)} of {len(arrays)} images of a batch;"
            " it must give the same kinds for all"
        )
    return given or None


def _padded(rows: Sequence[NDArray]) -> torch.Tensor:
    longest = max(len(array) for array in rows)
    padded = np.zeros((len(rows), longest, *rows[0].shape[1:]), dtype=np.float32)
    for target, array in zip(padded, rows, strict=True):
        target[: len(array)] = array
    return torch.from_numpy(padded)
