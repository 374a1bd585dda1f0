"""Where a view lies in its source image: exact affine maps, one at a time or in batches.

One convention everywhere: positions are (x, y) in pixels as floats, pixel i covers [i, i + 1) and
its centre is i + 0.5 (half-pixel centres); boxes are (x1, y1, x2, y2); sizes are (height, width).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dense_cl.views.batch import ViewBatch

Array = NDArray[np.float64]
Size = tuple[int, int]
_ROUNDING = 1e-6  # pixels, by which a border may be missed


@dataclass(frozen=True, eq=False)
class ViewGeometry:
    """The affine map from the pixels of a view to the pixels of its source.

    Geometries chain like maps do: ``crop.then(flip)`` is the geometry of a flipped crop, and
    ``a.relative_to(b)`` takes pixels of view ``a`` to pixels of view ``b``, so every method below
    also answers for pairs of views.

    Attributes:
        matrix: (2, 3) float64, view position (x, y, 1) to source position (x, y).
        view_size: height and width of the view.
        source_size: height and width of the source.
        within: images on the way from the source beyond whose borders the view looks, as after a
            rotation of a crop: it is filled there, though the source goes on.
    """

    matrix: Array
    view_size: Size
    source_size: Size
    within: tuple["ViewGeometry", ...] = ()

    @classmethod
    def identity(cls, size: Size) -> "ViewGeometry":
        """The geometry of a view that is the source itself."""
        return cls(np.eye(2, 3), size, size)

    @classmethod
    def from_box(cls, box: ArrayLike, view_size: Size, source_size: Size) -> "ViewGeometry":
        """The geometry of a box of the source resized to ``view_size``."""
        x1, y1, x2, y2 = np.asarray(box, dtype=np.float64)
        scale_x, scale_y = (x2 - x1) / view_size[1], (y2 - y1) / view_size[0]
        return cls(np.array([[scale_x, 0, x1], [0, scale_y, y1]]), view_size, source_size)

    def then(self, step: "ViewGeometry") -> "ViewGeometry":
        """The geometry of a view of this view: ``step.source_size`` is this ``view_size``."""
        if step.source_size != self.view_size:
            raise ValueError(f"a step on {step.source_size} cannot follow a view {self.view_size}")
        linear = self.matrix[:, :2] @ step.matrix
        linear[:, 2] += self.matrix[:, 2]
        return ViewGeometry(linear, step.view_size, self.source_size, self.within)

    def filled_by(self, step: "ViewGeometry") -> "ViewGeometry":
        """Like ``then``, of a step that fills whatever lies beyond this view."""
        height, width = self.view_size
        beyond = step.outline().clip(0, [width, height]) - step.outline()
        here = replace(self, within=(*self.within, self)) if np.abs(beyond).max() > 1e-6 else self
        return here.then(step)

    def inverse(self) -> "ViewGeometry":
        """The map from source pixels to view pixels, as a geometry with the roles swapped."""
        linear = np.linalg.inv(self.matrix[:, :2])
        matrix = np.column_stack([linear, -linear @ self.matrix[:, 2]])
        return ViewGeometry(matrix, self.source_size, self.view_size)

    def relative_to(self, other: "ViewGeometry") -> "ViewGeometry":
        """The map from pixels of this view to pixels of another view of the same source."""
        return other.inverse().then(self)

    def to_source(self, points: ArrayLike) -> Array:
        """Map (..., 2) view positions to source positions."""
        return np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def from_source(self, points: ArrayLike) -> Array:
        """Map (..., 2) source positions to view positions."""
        return self.inverse().to_source(points)

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Tell which of (..., 2) source positions lie inside the view."""
        seen = inside(self.from_source(points), self.view_size)
        for image in self.within:
            seen &= image.contains(points)
        return seen

    def cell_centres(self, grid: Size) -> Array:
        """Source positions of the centres of a grid of cells laid over the view.

        Returns:
            (grid_h * grid_w, 2), row-major.
        """
        return self.to_source(grid_centres(self.view_size, grid))

    def map_points_to(self, other: "ViewGeometry", points: ArrayLike) -> Array:
        """Map (..., 2) positions of this view to positions of another, which may lie outside it."""
        return self.relative_to(other).to_source(points)

    def map_boxes_to(self, other: "ViewGeometry", boxes: ArrayLike) -> Array:
        """Map (N, 4) boxes of this view into another, clipped to it.

        A box outside the other view comes back with zero area. Under rotation or shear the result
        is the smallest upright box around the mapped one.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        corners = self.map_points_to(other, boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]])
        height, width = other.view_size
        hull = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return np.clip(hull, 0, [width, height, width, height])

    def map_mask_to(self, other: "ViewGeometry", mask: NDArray, fill: int = 0) -> NDArray:
        """Resample an (H, W, ...) mask or label map of this view on the pixels of another.

        Each pixel takes the value under its centre (nearest neighbour, so labels stay labels);
        those that see nothing of this view get ``fill``.
        """
        if mask.shape[:2] != self.view_size:
            raise ValueError(f"mask of size {mask.shape[:2]} on a view of size {self.view_size}")
        mapped = np.full((*other.view_size, *mask.shape[2:]), fill, dtype=mask.dtype)
        here = other.relative_to(self)
        if here.matrix[0, 1] == 0 == here.matrix[1, 0] and not other.within:
            # Crops and flips, nearly all there is: rows and columns move apart from each other.
            rows, y = _axis(here.matrix[1, [1, 2]], other.view_size[0], self.view_size[0])
            columns, x = _axis(here.matrix[0, [0, 2]], other.view_size[1], self.view_size[1])
            mapped[rows[:, None], columns] = mask[y[:, None], x]
            return mapped
        centres = grid_centres(other.view_size, other.view_size)
        points = here.to_source(centres)
        seen = inside(points, self.view_size)
        for image in other.within:
            seen &= image.contains(other.to_source(centres))
        column, row = np.floor(points[seen]).astype(np.int64).T
        mapped[seen.reshape(other.view_size)] = mask[row, column]
        return mapped

    def borders(self) -> Array:
        """Half-planes of the images in ``within``, beyond which the view is filled.

        Returns:
            (4 per image, 3) as in ``ViewBatch.borders``, in pixels of that image.
        """
        planes: list[Array] = [np.empty((0, 3))]
        for image in self.within:
            (height, width), from_source = image.view_size, image.inverse().matrix
            planes += [from_source, [[0, 0, width], [0, 0, height]] - from_source]
        return np.concatenate(planes)

    def outline(self) -> Array:
        """Corners of the view in the source, (4, 2), in order."""
        height, width = self.view_size
        return self.to_source([[0, 0], [width, 0], [width, height], [0, height]])

    def overlap(self, other: "ViewGeometry") -> Array:
        """The part of the source seen by both views: a convex polygon, (N, 2), N = 0 when none.

        What lies beyond the border of the source (padding) is nobody's: it does not count.
        """
        height, width = self.source_size
        frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
        for view in (self, *self.within, other, *other.within):
            frame = clip_polygon(frame, view.outline())
        return frame

    def overlap_area(self, other: "ViewGeometry") -> float:
        """Area seen by both views, in square source pixels."""
        return abs(signed_area(self.overlap(other)))


def _axis(line: Array, count: int, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of an axis of ``count`` that fall on one of ``limit`` others, and on which.

    Centres move by ``line``, slope and offset.
    """
    position = (np.arange(count) + 0.5) * line[0] + line[1]
    pixels = np.flatnonzero((position >= 0) & (position < limit))
    return pixels, np.floor(position[pixels]).astype(np.int64)


def grid_centres(size: Size, grid: Size) -> Array:
    """Centres of a grid of cells over an image: (grid_h * grid_w, 2) as x, y, row-major."""
    y = (np.arange(grid[0]) + 0.5) * (size[0] / grid[0])
    x = (np.arange(grid[1]) + 0.5) * (size[1] / grid[1])
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def inside(points: ArrayLike, size: Size) -> NDArray[np.bool_]:
    """Tell which (..., 2) positions lie on an image of ``size``."""
    points = np.asarray(points, dtype=np.float64)
    on_image: NDArray[np.bool_] = (points >= 0) & (points < [size[1], size[0]])
    return np.asarray(on_image.all(axis=-1))


def signed_area(polygon: Array) -> float:
    """Shoelace area of an (N, 2) polygon; the sign tells which way round it goes."""
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def clip_polygon(subject: Array, window: Array) -> Array:
    """Intersect two convex polygons (Sutherland and Hodgman, CACM 1974)."""
    orientation = 1.0 if signed_area(window) >= 0 else -1.0
    for start, end in zip(window, np.roll(window, -1, axis=0), strict=True):
        if not len(subject):
            break
        edge, offset = end - start, subject - start
        # Positive on the inner side of the edge.
        side = orientation * (edge[0] * offset[:, 1] - edge[1] * offset[:, 0])
        kept = []
        for here in range(len(subject)):
            before = here - 1
            if (side[here] >= 0) != (side[before] >= 0):
                along = side[before] / (side[before] - side[here])
                kept.append(subject[before] + along * (subject[here] - subject[before]))
            if side[here] >= 0:
                kept.append(subject[here])
        subject = np.array(kept).reshape(-1, 2)
    return subject


# The same for a batch, on the device of the batch. All positions are float64: a source may be
# tens of thousands of pixels wide, where float32 is coarser than the sub-pixel accuracy promised.


def borders_of(views: Sequence[ViewGeometry]) -> Tensor | None:
    """The borders of the views of a batch (``ViewBatch.borders``), filled up with what holds."""
    borders = [view.borders() for view in views]
    most = max(map(len, borders))
    if most == 0:
        return None
    batch = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).repeat(len(views), most, 1)
    for row, border in zip(batch, borders, strict=True):
        row[: len(border)] = torch.from_numpy(border)
    return batch


def geometries(view: ViewBatch) -> list[ViewGeometry]:
    """The geometry of each image of a batch, without its ``within``."""
    sizes = [(int(height), int(width)) for height, width in view.source_size.tolist()]
    matrices = view.matrix.cpu().numpy()
    return [ViewGeometry(m, view.view_size, s) for m, s in zip(matrices, sizes, strict=True)]


def to_source(view: ViewBatch, points: Tensor) -> Tensor:
    """Map (B, N, 2) or (N, 2) view positions to (B, N, 2) source positions."""
    matrix = view.matrix
    return points.to(matrix) @ matrix[:, :, :2].mT + matrix[:, None, :, 2]


def from_source(view: ViewBatch, points: Tensor) -> Tensor:
    """Map (B, N, 2) source positions to (B, N, 2) view positions."""
    matrix = view.matrix
    shifted = points.to(matrix) - matrix[:, None, :, 2]
    return shifted @ torch.linalg.inv(matrix[:, :, :2]).mT


def cell_centres(view: ViewBatch, grid: Size) -> Tensor:
    """Centres, in source pixels, of the cells of a feature grid laid over the view.

    Returns:
        (B, grid_h * grid_w, 2) float64 as x, y, row-major.
    """
    centres = torch.from_numpy(grid_centres(view.view_size, grid))
    return to_source(view, centres.to(view.matrix.device))


def cells_of_points(view: ViewBatch, points: Tensor, grid: Size) -> Tensor:
    """The cell of the view's grid in which each source position falls.

    Args:
        view: the view.
        points: (B, N, 2) source positions.
        grid: rows and columns of cells.

    Returns:
        (B, N) int64 row-major cell index, -1 where the view does not see the point, because it
        lies outside or is hidden by fill.
    """
    height, width = view.view_size
    extent = view.matrix.new_tensor([width, height])
    relative = from_source(view, points) / extent
    seen = ((relative >= 0) & (relative < 1)).all(dim=-1) & within_borders(view, points)
    column_row = (relative * view.matrix.new_tensor([grid[1], grid[0]])).floor().long()
    cell = column_row[..., 1] * grid[1] + column_row[..., 0]
    return torch.where(seen, cell, -1)


def on_source(view: ViewBatch, points: Tensor) -> Tensor:
    """Tell which positions in a view lie on the source image, not on padding or fill of the view.

    Args:
        view: the view.
        points: (B, N, 2) source positions.

    Returns:
        (B, N) bool.
    """
    extent = view.source_size.flip(-1)[:, None]
    return ((points >= 0) & (points < extent)).all(dim=-1) & within_borders(view, points)


def within_borders(view: ViewBatch, points: Tensor) -> Tensor:
    """Tell which (B, N, 2) source positions the view's ``borders`` leave, (B, N) bool."""
    if view.borders is None:
        return torch.ones(points.shape[:2], dtype=torch.bool, device=points.device)
    depth = points.to(view.borders) @ view.borders[..., :2].mT + view.borders[:, None, :, 2]
    return (depth >= -_ROUNDING).all(dim=-1)
