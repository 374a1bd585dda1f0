"""SwAV: predict the assignment of one view from another."""

import torch
import torch.nn.functional as F
from torch import Tensor


def swapped_prediction(scores_VNK: Tensor, assignments_ANK: Tensor, temperature: float) -> Tensor:
    r"""Return the cross entropy of every view's prediction and the other views' assignments.

    .. math:: L = \frac{1}{A (V - 1)} \sum_{a=1}^{A} \sum_{v \ne a} \mathrm{CE}(q_a,
        \mathrm{softmax}(s_v / T))

    mean over the samples (Caron et al., arXiv 2006.09882, sections 3.1 and 3.2; the training loop
    of facebookresearch/swav ``main_swav.py``, which takes the mean where the paper writes a sum).

    Args:
        scores_VNK: (V, N, K) similarities of the N samples of every view to the prototypes;
            V > 1.
        assignments_ANK: (A, N, K) distributions, of the first A <= V views; no gradient.
        temperature: T > 0.

    Returns:
        Scalar in float32 at least.
    """
    views, samples, _ = scores_VNK.shape
    assigning = len(assignments_ANK)
    dtype = torch.promote_types(scores_VNK.dtype, torch.float32)
    # What a view has to predict is the sum of all assignments but its own.
    targets_VNK = assignments_ANK.detach().sum(dim=0).expand_as(scores_VNK).clone()
    targets_VNK[:assigning] -= assignments_ANK.detach()
    logits_VNK = scores_VNK.to(dtype) / temperature
    total = F.cross_entropy(logits_VNK.flatten(0, 1), targets_VNK.flatten(0, 1), reduction="sum")
    return total / (assigning * (views - 1) * samples)
