"""Which regions of a view an objective looks at in a step."""

import torch
from torch import Tensor

from dense_cl.models.features import ViewFeatures
from dense_cl.models.region_cells import cell_labels


def cell_owners(features: ViewFeatures, stage: int) -> Tensor:
    """Return the region that covers most of each cell of a view's stage map.

    Returns:
        (B, S) int64 ids, -1 where none does.
    """
    rows, columns = features.stages[stage].shape[2:]
    assert features.view.regions is not None and features.view.regions.label_map is not None
    return cell_labels(features.view.regions.label_map, (rows, columns)).flatten(1)


def sample_regions(owner_BS: Tensor, draws_BM: Tensor) -> Tensor:
    """Draw among the regions that own a cell, all equally likely, with replacement.

    Args:
        owner_BS: (B, S) int64 region of each cell, -1 for none.
        draws_BM: (B, M) uniform numbers in [0, 1).

    Returns:
        (B, M) int64 ids, -1 for images where no cell has a region.
    """
    columns = int(owner_BS.max()) + 2  # the first for cells without a region
    exists_BR = torch.zeros(len(owner_BS), max(columns, 2), device=owner_BS.device)
    exists_BR.scatter_(1, owner_BS + 1, 1.0)
    number_BR = exists_BR[:, 1:].cumsum(dim=1)  # how many there are up to each id
    total_B1 = number_BR[:, -1:]
    wanted_BM = (draws_BM * total_B1).floor() + 1
    ids_BM = torch.searchsorted(number_BR, wanted_BM)
    return torch.where(total_B1 > 0, ids_BM, -1)
