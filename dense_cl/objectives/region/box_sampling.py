"""Which boxes of an image are compared in a step, and their jitter.

Shape suffixes: B images, N boxes per image, K of them chosen.
"""

import torch
from torch import Tensor


def sample_boxes(candidate_BN: Tensor, noise_BN: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose K boxes of each image at random, none twice while there are others.

    Args:
        candidate_BN: (B, N) bool, which boxes may be chosen.
        noise_BN: (B, N) uniform in [0, 1); decides.
        count: K.

    Returns:
        (B, K) int64 number of the box, N where an image has no candidate; and (B, K) bool, which of
        them to count: those behind an image's last candidate repeat it from the first.
    """
    number_B1 = candidate_BN.sum(dim=1, keepdim=True)
    order_BN = torch.where(candidate_BN, noise_BN, 2).argsort(dim=1)
    slot_1K = torch.arange(count, device=noise_BN.device)[None]
    none_B1 = torch.full_like(number_B1, candidate_BN.shape[1])
    chosen_BK = torch.cat([order_BN, none_B1], dim=1).gather(
        1, torch.where(number_B1 > 0, slot_1K % number_B1.clamp_min(1), none_B1)
    )
    return chosen_BK, slot_1K < number_B1


def take_boxes(boxes_BN4: Tensor, chosen_BK: Tensor, view_size: tuple[int, int]) -> Tensor:
    """Return the chosen boxes, (B, K, 4); number N is the whole view."""
    whole = boxes_BN4.new_tensor([0, 0, view_size[1], view_size[0]])
    extended = torch.cat([boxes_BN4, whole.expand(len(boxes_BN4), 1, 4)], dim=1)
    return extended.gather(1, chosen_BK[..., None].expand(-1, -1, 4))


def jitter_boxes(
    boxes_BK4: Tensor,
    noise_BK5: Tensor,
    ratio: float,
    probability: float,
    view_size: tuple[int, int],
) -> Tensor:
    r"""Shift and resize boxes by parts of their sides, and clip them to the view.

    :math:`(x, y, w, h) \mapsto (x + r_1 w, y + r_2 h, w + r_3 w, h + r_4 h)` with each r uniform in
    [-ratio, ratio], applied to a box with a probability (Wei et al., arXiv 2106.02637, "box
    jitter"; hologerry/SoCo ``contrast/data/bboxs_utils.py``, where the r are four numbers too).

    Args:
        boxes_BK4: x1, y1, x2, y2 in pixels of the view.
        noise_BK5: (B, K, 5) uniform in [0, 1): whether, then r_1 to r_4.
        ratio: largest change of each side, as a part of it; below 1.
        probability: that a box is changed.
        view_size: height and width.
    """
    corner, side = boxes_BK4[..., :2], boxes_BK4[..., 2:] - boxes_BK4[..., :2]
    shift = ratio * (2 * noise_BK5[..., 1:] - 1).to(boxes_BK4.dtype)
    moved_corner = corner + shift[..., :2] * side
    moved = torch.cat([moved_corner, moved_corner + side * (1 + shift[..., 2:])], dim=-1)
    limit = boxes_BK4.new_tensor([view_size[1], view_size[0]] * 2)
    moved = torch.minimum(moved.clamp_min(0), limit)
    return torch.where(noise_BK5[..., :1] < probability, moved, boxes_BK4)
