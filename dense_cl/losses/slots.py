"""SlotCon: group the places of an image into slots, and contrast slots."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.losses.info_nce import unit, weighted_mean


def group_into_slots(
    map_BDHW: Tensor, prototypes_KD: Tensor, temperature: float, epsilon: float = 1e-6
) -> tuple[Tensor, Tensor]:
    r"""Pool a map by what each place is most similar to.

    .. math:: s_{bkp} = \cos(c_k, z_{bp}), \quad a_{bkp} = \mathrm{softmax}_k(s_{bkp} / \tau)
        + \epsilon, \quad S_{bk} = \sum_p \frac{a_{bkp}}{\sum_{p'} a_{bkp'}} z_{bp}

    Wen et al., arXiv 2205.15288, section 3.1; ``SemanticGrouping`` of CVMI-Lab/SlotCon
    ``models/slotcon.py``. The features that are pooled are not normalised.

    Args:
        map_BDHW: (B, D, H, W) raw projections.
        prototypes_KD: (K, D) of any length.
        temperature: τ > 0.
        epsilon: keeps a prototype that no place resembles from dividing by zero.

    Returns:
        Slots, (B, K, D), and scores s, (B, K, H, W), in float32 at least.
    """
    features_BDP = map_BDHW.flatten(2)
    scores_BKP = unit(prototypes_KD) @ unit(features_BDP)
    attention_BKP = (scores_BKP / temperature).softmax(dim=1) + epsilon
    share_BKP = attention_BKP / attention_BKP.sum(dim=2, keepdim=True)
    slots_BKD = share_BKP @ features_BDP.to(share_BKP.dtype).mT
    return slots_BKD, scores_BKP.unflatten(2, map_BDHW.shape[2:])


def active_slots(scores_BKHW: Tensor) -> Tensor:
    """Tell which slots win at one place at least, (B, K) bool, no gradient.

    Wen et al., arXiv 2205.15288, section 3.3; the masks of ``ctr_loss_filtered`` of
    CVMI-Lab/SlotCon ``models/slotcon.py``.
    """
    winner_BP = scores_BKHW.flatten(2).argmax(dim=1)
    images, slots = scores_BKHW.shape[:2]
    active = torch.zeros(images, slots, dtype=torch.bool, device=scores_BKHW.device)
    return active.scatter_(1, winner_BP, True)


def slot_contrast(
    prediction_QD: Tensor,
    key_MD: Tensor,
    positive_Q: Tensor,
    temperature: float,
    weight_Q: Tensor | None = None,
) -> Tensor:
    r"""Tell the same slot of the other view from the slots of all images.

    .. math:: L = 2 \tau \, \mathrm{CE}(p_q \cdot k_m / \tau, \mathrm{positive}_q)

    with p and k L2-normalised here; keys receive no gradient. The factor is that of
    ``ctr_loss_filtered`` of CVMI-Lab/SlotCon ``models/slotcon.py`` (arXiv 2205.15288,
    section 3.3), after MoCo v3.

    Args:
        prediction_QD: (Q, D) raw predictions for slots that are active in both views.
        key_MD: (M, D) raw slots of the teacher, the active ones of all images.
        positive_Q: (Q,) int64, the key of the same image and prototype.
        temperature: τ > 0.
        weight_Q: (Q,) bool or floating weights; None counts every query, all zero gives exactly 0
            with zero gradients.

    Returns:
        Scalar in float32 at least, the mean over queries.
    """
    with torch.autocast(prediction_QD.device.type, enabled=False):
        logits_QM = unit(prediction_QD) @ unit(key_MD.detach()).T / temperature
    loss_Q = F.cross_entropy(logits_QM, positive_Q, reduction="none")
    return 2 * temperature * weighted_mean(loss_Q, weight_Q)
