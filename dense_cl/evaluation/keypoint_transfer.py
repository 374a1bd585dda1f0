"""Key points of one object found in another by similar features, and how many are right."""

import torch
import torch.nn.functional as F
from torch import Tensor

ALPHA = 0.1


def transfer_points(
    source_CHW: Tensor, target_CHW: Tensor, points_P2: Tensor, resolution: tuple[int, int]
) -> Tensor:
    """Find the place in the target whose feature is most similar to that of each source point.

    The source is read bilinearly at the points; cosines with the cells of the target are enlarged
    bilinearly, and the highest one is the answer.

    Args:
        source_CHW: feature map the points lie in.
        target_CHW: feature map to look in.
        points_P2: (x, y) in [0, 1] of the source's width and height.
        resolution: (rows, columns) of places in the target.

    Returns:
        (P, 2) places (x, y) in [0, 1] of the target, at the centres of rows and columns.
    """
    grid = (2 * points_P2 - 1)[None, None].to(source_CHW.dtype)
    read = F.grid_sample(
        source_CHW[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0, :, 0]
    cosines = torch.einsum("cp,chw->phw", F.normalize(read, dim=0), F.normalize(target_CHW, dim=0))
    fine = F.interpolate(cosines[None], size=resolution, mode="bilinear", align_corners=False)[0]
    place = fine.flatten(1).argmax(dim=1)
    rows, columns = resolution
    x, y = (place % columns + 0.5) / columns, (place // columns + 0.5) / rows
    return torch.stack([x, y], dim=1)


def correct_points(
    found_P2: Tensor, truth_P2: Tensor, size_WH: Tensor, alpha: float = ALPHA
) -> Tensor:
    """Return whether points are found within ``alpha`` of the object's larger side.

    The percentage of correct key points by bounding box, PCK at alpha (Yang and Ramanan, PAMI 2013;
    SPair-71k, arXiv 1908.10543).

    Args:
        found_P2: pixels (x, y).
        truth_P2: pixels (x, y).
        size_WH: width and height of the object's box in the same pixels.
        alpha: tolerance, as a part of the larger of the two.

    Returns:
        (P,) bool.
    """
    return (found_P2 - truth_P2).norm(dim=1) <= alpha * size_WH.max()
