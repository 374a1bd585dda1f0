"""Dense contrastive loss of DenseCL: InfoNCE of every location with its matched location."""

from torch import Tensor

from dense_cl.losses.info_nce import InfoNCETerms, info_nce


def gather_locations(map_BDS: Tensor, indices_BS: Tensor) -> Tensor:
    """Pick ``map[b, :, indices[b, s]]`` for every b, s.

    Args:
        map_BDS: (B, D, T) features of T locations.
        indices_BS: (B, S) int64 in [0, T).

    Returns:
        (B, D, S).
    """
    return map_BDS.gather(2, indices_BS[:, None].expand(-1, map_BDS.shape[1], -1))


def dense_info_nce(
    query_BDS: Tensor,
    key_BDT: Tensor,
    indices_BS: Tensor,
    negatives_KD: Tensor,
    temperature: float,
    weight_BS: Tensor | None = None,
) -> InfoNCETerms:
    """Contrast every query location with the key location it corresponds to.

    Each of the B*S locations is a query; its positive is the key at ``indices_BS`` of the same
    image, its negatives are the queue of pooled dense keys (Wang et al., arXiv 2011.09157,
    equation 2; WXinlong/DenseCL ``openselfsup/models/densecl.py``).

    Args:
        query_BDS: (B, D, S) raw dense projections, S locations in row-major order.
        key_BDT: (B, D, T) raw dense projections of the other view; no gradient.
        indices_BS: (B, S) int64 key location of every query location.
        negatives_KD: (K, D) unit vectors.
        temperature: T > 0.
        weight_BS: (B, S) bool or floating weights of the mean; None counts every location.

    Returns:
        The loss and its diagnostics over the counted locations.
    """
    channels = query_BDS.shape[1]
    positive_BDS = gather_locations(key_BDT, indices_BS)
    query_ND = query_BDS.transpose(1, 2).reshape(-1, channels)
    positive_ND = positive_BDS.transpose(1, 2).reshape(-1, channels)
    weight_N = None if weight_BS is None else weight_BS.reshape(-1)
    return info_nce(query_ND, positive_ND, negatives_KD, temperature, weight_N)
