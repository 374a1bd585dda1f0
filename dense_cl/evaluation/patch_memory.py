"""The labelled patches that segmentation by retrieval remembers."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.evaluation.hummingbird import balanced_sample
from dense_cl.evaluation.linear_probe import label_cells
from dense_cl.evaluation.mask_folders import MaskFolders


@dataclass(frozen=True)
class PatchMemory:
    """Patches with their labels.

    Attributes:
        features_MD: unit features.
        shares_MK: share of each class in the patch, not all 0.
        photos_M: int64 number of the photo.
        cells_M: int64 number of the cell in it, row by row.
    """

    features_MD: Tensor
    shares_MK: Tensor
    photos_M: Tensor
    cells_M: Tensor

    @classmethod
    def of(cls, maps_NCHW: Tensor, folders: MaskFolders, limit: int, seed: int) -> "PatchMemory":
        """Remember the patches of N photos that have a label.

        Args:
            maps_NCHW: their features.
            folders: their masks.
            limit: of patches, at least N; if there are more, as many of each photo, rare classes
                first (``balanced_sample``).
            seed: of that choice.
        """
        photos, _, *grid = maps_NCHW.shape
        patches = grid[0] * grid[1]
        each = min(patches, limit // photos)
        generator = torch.Generator().manual_seed(seed)
        features, shares, cells = [], [], []
        for index in range(photos):
            labels = label_cells(folders.labels(index), (grid[0], grid[1]), folders.num_classes)
            share, chosen = labels.flatten(1).T, torch.arange(patches)
            if each < patches:
                chosen = balanced_sample(share, each, generator)
            chosen = chosen[share[chosen].any(dim=1)]
            features.append(F.normalize(maps_NCHW[index].flatten(1).T[chosen], dim=1))
            shares.append(share[chosen])
            cells.append(chosen)
        counts = torch.tensor([len(chosen) for chosen in cells])
        numbers = torch.arange(photos).repeat_interleave(counts)
        return cls(torch.cat(features), torch.cat(shares), numbers, torch.cat(cells))
