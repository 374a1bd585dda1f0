"""What an albumentations transform did to the pixels, recovered as an affine map.

Keypoints alone do not tell: albumentations flips them as indices (x becomes W - 1 - x) but scales
them about the corner, which for the pixels themselves is off by up to half a pixel of the smaller
image per resize. So reference points give a first estimate, and an image whose values are its own
coordinates, rendered with the very parameters of the call, gives the exact map.
"""

from copy import copy
from functools import lru_cache
from typing import Any

import albumentations as A
import cv2
import numpy as np
from albumentations.core.transforms_interface import BasicTransform
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.views.geometry import Array, Size, ViewGeometry, grid_centres

_DROPOUTS = (
    A.CoarseDropout,
    A.ConstrainedCoarseDropout,
    A.Erasing,
    A.GridDropout,
    A.PixelDropout,
    A.XYMasking,
)
_SAMPLES = 24  # rows and columns of pixels read from the rendered coordinates
_BORDER = 3.0  # source pixels that interpolation at the border may disturb (Lanczos reaches 4 taps)


def recover_step(transform: BasicTransform, params: dict[str, Any], size: Size) -> ViewGeometry:
    """The geometry of one transform, given the parameters it drew for an image of ``size``.

    Raises:
        DenseCLError: no affine map describes what the transform does.
    """
    height, width = size
    if isinstance(transform, _DROPOUTS):
        return ViewGeometry.identity(size)
    if type(transform) is A.HorizontalFlip:
        return ViewGeometry(np.array([[-1.0, 0, width], [0, 1, 0]]), size, size)
    if type(transform) is A.VerticalFlip:
        return ViewGeometry(np.array([[1.0, 0, 0], [0, -1, height]]), size, size)
    try:
        rendered = transform.apply(_coordinate_image(height, width), **params)
        guess = _from_keypoints(transform, params, size, rendered.shape[:2])
    except (NotImplementedError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise _refusal(transform, f"its geometry cannot be traced ({error})") from error
    return _refine(transform, guess, rendered)


def _refusal(transform: BasicTransform, reason: str) -> DenseCLError:
    return DenseCLError(
        f"transform '{type(transform).__name__}' is refused: {reason}, so pixels of two views could"
        " not be matched. Use affine transforms, and ImageOnlyTransform for changes of colour"
    )


@lru_cache(maxsize=16)
def _coordinate_image(height: int, width: int) -> NDArray[np.float32]:
    """Each pixel holds its centre (x, y), divided by the size as float images must stay in 0..1."""
    image = np.zeros((height, width, 3), dtype=np.float32)
    centres = grid_centres((height, width), (height, width)) / [width, height]
    image[..., :2] = centres.reshape(height, width, 2)
    image.setflags(write=False)
    return image


def _from_keypoints(
    transform: BasicTransform, params: dict[str, Any], size: Size, new_size: Size
) -> ViewGeometry:
    """First estimate, good to about a pixel: an affine fit to transformed reference points."""
    reference = grid_centres(size, (3, 3)) - 0.5
    # albumentations' own layout of a keypoint: x, y, z, angle, scale.
    keypoints = np.zeros((len(reference), 5), dtype=np.float32)
    keypoints[:, :2], keypoints[:, 4] = reference, 1.0
    if hasattr(transform, "border_mode"):
        # Reflecting borders would show each point several times over.
        transform = copy(transform)
        transform.border_mode = cv2.BORDER_CONSTANT
    moved = transform.apply_to_keypoints(keypoints, **params)[:, :2] + 0.5
    if moved.shape != reference.shape:
        raise _refusal(transform, "it drops reference points")
    forward, residual = _fit_affine(reference + 0.5, moved)
    if residual > 1.0:
        raise _refusal(transform, f"it is not affine (points are off by {residual:.1f} pixels)")
    if abs(np.linalg.det(forward[:, :2])) < 1e-9:
        raise _refusal(transform, "it collapses the image to a line")
    return ViewGeometry(forward, size, new_size).inverse()


def _refine(transform: BasicTransform, guess: ViewGeometry, rendered: NDArray) -> ViewGeometry:
    """Fit the map to the rendered coordinates, away from borders, fills and holes."""
    height, width = guess.source_size
    new_height, new_width = guess.view_size
    rows = np.unique(np.linspace(0, new_height - 1, _SAMPLES).round().astype(int))
    columns = np.unique(np.linspace(0, new_width - 1, _SAMPLES).round().astype(int))
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    expected = guess.to_source(pixels + 0.5)
    extent = np.array([width, height], dtype=np.float64)
    margin = np.minimum(_BORDER, extent / 4)
    interior = ((expected > margin) & (expected < extent - margin)).all(axis=1)
    pixels, expected = pixels[interior], expected[interior]
    actual = rendered[pixels[:, 1], pixels[:, 0], :2] * extent
    # Keypoints and pixels may disagree by half a pixel of the coarser of the two images.
    slack = 1.0 + np.linalg.norm(guess.matrix[:, :2], ord=2)
    agree = np.abs(actual - expected).max(axis=1, initial=0.0) <= slack
    if len(pixels) < 3 or np.linalg.matrix_rank(pixels - pixels.mean(axis=0)) < 2:
        return guess  # too little of the image is left to see: the estimate is all there is
    if agree.mean() < 0.5:
        raise _refusal(transform, "its pixels do not move affinely as its reference points do")
    matrix, residual = _fit_affine(pixels[agree] + 0.5, actual[agree])
    if residual > 0.75:  # nearest-neighbour sampling alone is off by up to 0.5
        raise _refusal(transform, f"it is not affine (pixels are off by {residual:.1f})")
    return ViewGeometry(matrix, guess.view_size, guess.source_size)


def _fit_affine(start: Array, end: Array) -> tuple[Array, float]:
    """Least-squares (2, 3) map between (N, 2) points, and its largest residual."""
    design = np.column_stack([start, np.ones(len(start))])
    solution = np.linalg.lstsq(design, end, rcond=None)[0].astype(np.float64)
    return solution.T, float(np.abs(design @ solution - end).max())
