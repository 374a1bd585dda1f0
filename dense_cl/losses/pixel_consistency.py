"""The loss of PixPro: matched locations agree."""

import torch
from torch import Tensor


def pixel_consistency(prediction_BDS: Tensor, target_BDT: Tensor, weights_BST: Tensor) -> Tensor:
    r"""Return how far the pairs of locations of one direction are apart.

    .. math:: L = -\frac{2}{B} \sum_b
        \frac{\sum_{st} w_{st} \cos(y_s, x'_t)}{\sum_{st} w_{st} + 10^{-6}}

    Xie et al., arXiv 2011.10043, section 3.2. The factor 2, which makes it the squared distance
    of unit vectors less 2, the 1e-6, and that images without a pair stay in the mean over B, to
    which they add 0, are of the released code: zdaxie/PixPro ``contrast/models/PixPro.py``,
    ``regression_loss``.

    Args:
        prediction_BDS: (B, D, S) unit vectors y of the locations of one view.
        target_BDT: (B, D, T) unit vectors x' of those of the other; detach them.
        weights_BST: (B, S, T) weights of the pairs, of the features' type.

    Returns:
        Scalar in [-2, 2].
    """
    with torch.autocast(prediction_BDS.device.type, enabled=False):
        cosine_BST = prediction_BDS.mT @ target_BDT
    total_B = (cosine_BST * weights_BST).sum(dim=(1, 2))
    return -2 * (total_B / (weights_BST.sum(dim=(1, 2)) + 1e-6)).mean()
