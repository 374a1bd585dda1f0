"""Predict how the same places are assigned in another view (SlotCon, Leopart)."""

from torch import Tensor

from dense_cl.losses.info_nce import weighted_mean


def assignment_prediction(
    scores_NK: Tensor,
    assignment_NK: Tensor,
    temperature: float,
    weight_N: Tensor | None = None,
) -> Tensor:
    r"""Return the cross entropy of assignments and softmax predictions, mean over places.

    .. math:: L = -\frac{1}{\sum_n w_n} \sum_n w_n \sum_k q_{nk}
        \log \mathrm{softmax}(s_n / \tau)_k

    Args:
        scores_NK: (N, K) similarities of N places of one view to K prototypes.
        assignment_NK: (N, K) distributions of the same places in another view; no gradient.
        temperature: τ > 0.
        weight_N: (N,) bool or floating weights; None counts every place, all zero gives exactly
            0 with zero gradients.

    Returns:
        Scalar.
    """
    log_prediction_NK = (scores_NK / temperature).log_softmax(dim=1)
    return weighted_mean(-(assignment_NK.detach() * log_prediction_NK).sum(dim=1), weight_N)


def centred_assignment(scores_NK: Tensor, center_K: Tensor, temperature: float) -> Tensor:
    r"""Return :math:`\mathrm{softmax}((t_n - c) / \tau)`, (N, K), without a gradient.

    Taking off the mean score of every prototype keeps one of them from winning everywhere (Caron
    et al., arXiv 2104.14294, section 3.1; ``self_distill`` of CVMI-Lab/SlotCon
    ``models/slotcon.py``).

    Args:
        scores_NK: (N, K) similarities of N places, seen by the teacher, to K prototypes.
        center_K: (K,) running mean of such scores.
        temperature: τ > 0.
    """
    return ((scores_NK.detach() - center_K) / temperature).softmax(dim=1)
