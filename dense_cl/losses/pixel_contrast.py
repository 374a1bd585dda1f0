"""The loss of PixContrast: tell the same place of the other view from its other places."""

import torch
from torch import Tensor


def pixel_contrast(
    query_BDS: Tensor, key_BDT: Tensor, positive_BST: Tensor, temperature: float = 0.3
) -> Tensor:
    r"""Contrast every location with all locations of the other view of its image.

    .. math:: L_s = -\log \frac{\sum_{t \in P_s} e^{\cos(x_s, x'_t) / \tau}}
        {\sum_t e^{\cos(x_s, x'_t) / \tau}}

    averaged over the locations s that have a positive, then over the images (Xie et al., arXiv
    2011.10043, equation 2, one direction). The paper averages over the locations in the
    intersection of the views; with its threshold each of these has a positive, and so have a few
    just outside. Images without any stay in the mean, to which they add 0, as in PixPro.

    Args:
        query_BDS: (B, D, S) unit vectors of the locations of one view.
        key_BDT: (B, D, T) unit vectors of those of the other; detach them.
        positive_BST: (B, S, T) bool, the pairs that show the same place.
        temperature: τ > 0.

    Returns:
        Scalar, at least 0.
    """
    with torch.autocast(query_BDS.device.type, enabled=False):
        logits_BST = query_BDS.mT @ key_BDT / temperature
    matched_BS = positive_BST.any(dim=2)
    # A row without a positive takes all: its loss is 0 and its gradient finite.
    among_BST = positive_BST | ~matched_BS[:, :, None]
    positive_BS = logits_BST.masked_fill(~among_BST, -torch.inf).logsumexp(dim=2)
    loss_BS = logits_BST.logsumexp(dim=2) - positive_BS
    return (loss_BS.sum(dim=1) / matched_BS.sum(dim=1).clamp_min(1)).mean()
