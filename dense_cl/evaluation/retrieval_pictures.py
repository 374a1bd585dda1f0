"""Some patches, and those that resemble them most, drawn on their photos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from dense_cl.evaluation.examples import Examples
from dense_cl.evaluation.linear_probe import label_cells
from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.evaluation.neighbours import nearest_neighbours
from dense_cl.evaluation.patch_memory import PatchMemory
from dense_cl.report.draw import Picture, tile
from dense_cl.report.draw_views import draw_boxes, fitted
from dense_cl.sources.files import load_image

_SHOWN, _HEIGHT = 3, 120
_QUERY, _WRONG, _RIGHT = 0, 1, 2  # of the palette: blue, orange, green


def draw_retrievals(
    records: Sequence[dict[str, Any]],
    train: MaskFolders,
    test: MaskFolders,
    memory: PatchMemory,
    queries_NCHW: Tensor,
    pictures: str | Path | None,
) -> None:
    """Draw a patch of some test photos (blue) and the three that resemble it most.

    The patch is one of the photo's rarest class: the middle one of the cells that are mostly of the
    class that the fewest cells are mostly of. It does not depend on the backbone. Those found have
    a green frame if they are mostly of the same class, and an orange one if not.

    Args:
        records: of the result; they name the pictures, as "retrievals", afterwards.
        train: photos that are remembered.
        test: photos in the order of the records.
        memory: of the training patches.
        queries_NCHW: features of the test patches.
        pictures: folder, or None for no pictures.
    """
    examples = Examples.of(pictures, [test.name(index) for index in range(len(test))])
    grid = queries_NCHW.shape[2], queries_NCHW.shape[3]
    for image, place in examples.places.items():
        shares = label_cells(test.labels(place), grid, test.num_classes).flatten(1)
        chosen = _of_rarest_class(shares)
        if chosen is None:
            continue
        cell, wanted = chosen
        query = F.normalize(queries_NCHW[place].flatten(1)[None, :, cell], dim=1)
        shown = [_framed(test.pairs[place][0], cell, grid, _QUERY)]
        for found in nearest_neighbours(memory.features_MD, query, _SHOWN)[1][0].tolist():
            right = int(memory.shares_MK[found].argmax()) == wanted
            file, _ = train.pairs[int(memory.photos_M[found])]
            where = int(memory.cells_M[found])
            shown.append(_framed(file, where, grid, _RIGHT if right else _WRONG))
        whole = len(shown) == 1 + _SHOWN
        examples.save(image, "retrievals", tile([shown[:2], shown[2:]] if whole else [shown]))
    examples.add_to(records, ["retrievals"])


def _of_rarest_class(shares_KP: Tensor) -> tuple[int, int] | None:
    """Return a cell that is mostly of the class of the fewest such cells, and that class."""
    share, classes = shares_KP.max(dim=0)
    mostly = share > 0.5
    if not mostly.any():
        return None
    rarest = classes[mostly].unique(return_counts=True)
    wanted = int(rarest[0][rarest[1].argmin()])
    cells = (mostly & (classes == wanted)).nonzero().flatten()
    return int(cells[len(cells) // 2]), wanted


def _framed(file: Path, cell: int, grid: tuple[int, int], colour: int) -> Picture:
    """Return a small photo with a frame around a cell."""
    picture, _ = fitted(load_image(file), _HEIGHT)
    row, column = divmod(cell, grid[1])
    height, width = picture.shape[0] / grid[0], picture.shape[1] / grid[1]
    box = [column * width, row * height, (column + 1) * width, (row + 1) * height]
    return draw_boxes(picture, np.array([box]), [colour])
