"""The loss of SoCo: how far predictions of boxes are from their targets."""

from torch import Tensor

from dense_cl.losses.info_nce import unit, weighted_mean


def object_distance(prediction_BKD: Tensor, target_BKD: Tensor, counted_BK: Tensor) -> Tensor:
    r"""Return the squared distance of unit vectors, averaged over boxes and then over images.

    .. math:: \frac{1}{|\{b: n_b > 0\}|} \sum_{b: n_b > 0} \frac{1}{n_b} \sum_k
        \left(2 - 2 \cos(p_{bk}, z_{bk})\right)

    with :math:`n_b` the counted boxes of image b (Wei et al., arXiv 2106.02637; hologerry/SoCo
    ``contrast/models/SoCo_FPN.py``, which leaves out the constant 2). Whether the target receives a
    gradient is the caller's choice.

    Args:
        prediction_BKD: (B, K, D) raw predictions.
        target_BKD: (B, K, D) raw targets of the same boxes.
        counted_BK: (B, K) bool; an image without a counted box contributes nothing, and a batch
            without any gives exactly 0.

    Returns:
        A scalar in [0, 4], in float32 at least.
    """
    prediction, target = unit(prediction_BKD.flatten(0, 1)), unit(target_BKD.flatten(0, 1))
    distance_N = 2 - 2 * (prediction * target).sum(dim=1)
    counted_BK = counted_BK.to(distance_N.dtype)
    share_BK = counted_BK / counted_BK.sum(dim=1, keepdim=True).clamp_min(1)
    return weighted_mean(distance_N, share_BK.flatten())
