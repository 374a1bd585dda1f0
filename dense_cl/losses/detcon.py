"""DetCon: tell the same region in the other view from all other regions of the batch."""

from typing import NamedTuple

import torch
from torch import Tensor

from dense_cl.losses.info_nce import unit, weighted_mean


class DetConTerms(NamedTuple):
    """The loss and what it says about the regions.

    Attributes:
        loss: scalar, the sum of both directions.
        positive_similarity: mean cosine of a prediction and the same region of the other view,
            over the predictions that have one, no gradient.
        matched: share of predictions whose region the other view shows too, no gradient.
    """

    loss: Tensor
    positive_similarity: Tensor
    matched: Tensor


def detcon(
    prediction_VBMD: Tensor,
    target_VNMD: Tensor,
    ids_VBM: Tensor,
    temperature: float,
    all_ids_VNM: Tensor | None = None,
    offset: int = 0,
    local_negatives: bool = True,
) -> DetConTerms:
    r"""Contrast every region of one view with all regions of both views of all images.

    .. math:: L = \sum_{v} \frac{1}{B M} \sum_{b, m} w^v_{bm} \Big( \log \sum_{t \in T^v_{bm}}
        e^{p^v_{bm} \cdot t / \tau} - \frac{1}{|P^v_{bm}|} \sum_{t \in P^v_{bm}}
        p^v_{bm} \cdot t / \tau \Big)

    with p and t L2-normalised here. P are the targets of the same image and id in the other view.
    T are the targets of both views of all images but those of the same image, id and view. The
    same region may be sampled several times: w is one over how often it was in this view, and 0
    without a positive (Hénaff et al., arXiv 2103.10957, equation 3; ``byol_nce_detcon`` of
    google-deepmind/detcon ``utils/losses.py``, whose other positives stay in the denominator as
    here). Negative ids are places left empty, which that code does not know: they count neither
    as queries nor as negatives. Whether targets receive a gradient is the caller's choice.

    Args:
        prediction_VBMD: (2, B, M, D) raw predictions for M regions of both views of this
            process's images.
        target_VNMD: (2, N, M, D) raw targets of the images of all processes.
        ids_VBM: (2, B, M) int64 ids of the regions, comparable within an image only; negative
            for none.
        temperature: τ > 0.
        all_ids_VNM: (2, N, M) ids of the targets; ``ids_VBM`` if not given.
        offset: position of this process's first image among the N.
        local_negatives: also tell a region from the other regions of its image.

    Returns:
        Scalars in float32 at least. Without any positive the loss is exactly 0.
    """
    all_ids_VNM = ids_VBM if all_ids_VNM is None else all_ids_VNM
    channels = prediction_VBMD.shape[-1]
    prediction = unit(prediction_VBMD.flatten(0, 2)).unflatten(0, ids_VBM.shape)
    target = unit(target_VNMD.reshape(-1, channels)).unflatten(0, all_ids_VNM.shape)
    directions = [
        _one_direction(
            prediction[view],
            target[[1 - view, view]],
            ids_VBM[view],
            all_ids_VNM[[1 - view, view]],
            temperature,
            offset,
            local_negatives,
        )
        for view in (0, 1)
    ]
    losses, similarity, matched = zip(*directions, strict=True)
    matched_all = torch.cat(matched)
    return DetConTerms(
        losses[0] + losses[1],
        weighted_mean(torch.cat(similarity).detach(), matched_all) * temperature,
        matched_all.to(prediction.dtype).mean(),
    )


def _one_direction(
    prediction_BMD: Tensor,
    target_ONMD: Tensor,  # the other view, then the own
    ids_BM: Tensor,
    ids_ONM: Tensor,
    temperature: float,
    offset: int,
    local_negatives: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, and per query the mean logit of its positives and whether it has any."""
    batch = len(ids_BM)
    with torch.autocast(prediction_BMD.device.type, enabled=False):
        logits = prediction_BMD.flatten(0, 1) @ target_ONMD.flatten(0, 2).T / temperature
    logits_BMONM = logits.reshape(*ids_BM.shape, *ids_ONM.shape)
    images = torch.arange(batch, device=ids_BM.device)
    # The targets of the same image, (B, M, 2, M): everything else there is to decide about.
    local_OBM = ids_ONM[:, offset : offset + batch]
    same_BMOM = (ids_BM[:, :, None, None] == local_OBM.transpose(0, 1)[:, None]) & (
        ids_BM[:, :, None, None] >= 0
    )
    removed_BMOM = same_BMOM if local_negatives else torch.ones_like(same_BMOM)
    positive_BMM = same_BMOM[:, :, 0]
    removed_BMOM = torch.stack([removed_BMOM[:, :, 0] & ~positive_BMM, removed_BMOM[:, :, 1]], 2)
    removed = (ids_ONM < 0).expand_as(logits_BMONM).clone()
    removed[images, :, :, images + offset] |= removed_BMOM
    # Not -inf: a row with nothing left would be NaN in the backward pass.
    lowest = torch.finfo(logits.dtype).min
    everything_BM = logits_BMONM.masked_fill(removed, lowest).flatten(2).logsumexp(dim=2)

    local_BMM = logits_BMONM[images, :, 0, images + offset]
    number_BM = positive_BMM.sum(dim=2)
    positive_BM = (local_BMM * positive_BMM).sum(dim=2) / number_BM.clamp(min=1)
    repeats_BM = same_BMOM[:, :, 1].sum(dim=2).clamp(min=1)
    weight_BM = (number_BM > 0).to(logits.dtype) / repeats_BM
    loss = (weight_BM * (everything_BM - positive_BM)).mean()
    return loss, positive_BM.flatten(), (number_BM > 0).flatten()
