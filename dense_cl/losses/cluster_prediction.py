"""DeepCluster-v2: predict the cluster of an image from any of its views."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Target of images that belong to no cluster.
IGNORED = -100


def cluster_prediction(scores: Sequence[Tensor], targets_HN: Tensor, temperature: float) -> Tensor:
    r"""Return the cross entropy of softmax(scores / T) and the cluster, mean over heads.

    Of every head the mean over views and images that have a cluster; exactly 0 for a head where
    none has (Caron et al., arXiv 2006.09882, appendix; the training loop of facebookresearch/swav
    ``main_deepclusterv2.py``).

    Args:
        scores: per head (V, N, K_h) similarities of every view of N images to K_h centroids.
        targets_HN: (H, N) int64 clusters of the images, ``IGNORED`` for none.
        temperature: T > 0.

    Returns:
        Scalar in float32 at least.
    """
    losses = []
    for scores_VNK, target_N in zip(scores, targets_HN, strict=True):
        dtype = torch.promote_types(scores_VNK.dtype, torch.float32)
        target_VN = target_N.expand(scores_VNK.shape[:2])
        total = F.cross_entropy(
            scores_VNK.to(dtype).flatten(0, 1) / temperature,
            target_VN.flatten(),
            ignore_index=IGNORED,
            reduction="sum",
        )
        losses.append(total / (target_VN != IGNORED).sum().clamp(min=1))
    return torch.stack(losses).mean()
