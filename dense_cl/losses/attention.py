"""The attention loss of CAST: where Grad-CAM looks should be what is salient."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.losses.info_nce import unit, weighted_mean

_RELEASED_EPS = 1e-7


class AttentionTerms(NamedTuple):
    """The loss and what it is made of.

    Attributes:
        loss: scalar.
        map_BHW: (B, H, W) the maps that were compared, at least 0, no gradient.
        counted_B: (B,) bool, which images have a say.
    """

    loss: Tensor
    map_BHW: Tensor
    counted_B: Tensor


def grad_cam(map_BCHW: Tensor, gradient_BCHW: Tensor) -> Tensor:
    r"""Return the signed Grad-CAM map :math:`\sum_c \alpha_c A_c`, before its ReLU.

    :math:`\alpha_c` is the mean of :math:`\partial s / \partial A_c` over the places of the map
    (Selvaraju et al., arXiv 1610.02391, equations 1 and 2).

    Args:
        map_BCHW: (B, C, H, W) activations A.
        gradient_BCHW: gradient of the scores with respect to them, of the same shape.

    Returns:
        (B, H, W), in float32 at least.
    """
    dtype = torch.promote_types(map_BCHW.dtype, torch.float32)
    alpha_BC = gradient_BCHW.to(dtype).mean(dim=(2, 3))
    with torch.autocast(map_BCHW.device.type, enabled=False):
        return torch.einsum("bc,bchw->bhw", alpha_BC, map_BCHW.to(dtype))


def saliency_on_cells(
    saliency_BHW: Tensor, grid: tuple[int, int], released_code: bool = False
) -> Tensor:
    """Return the saliency of every cell of a feature map.

    By default that is the salient share of the pixels that the cell covers, so that nothing salient
    is lost. salesforce/CAST ``moco/datasets.py`` samples bilinearly at a grid whose corners are
    those of the view: what lies between its points is not seen, and the points are not the centres
    of the cells.

    Args:
        saliency_BHW: (B, H, W) bool, or values in [0, 1].
        grid: height and width of the map, (h, w).
        released_code: sample as the authors' code does.

    Returns:
        (B, h, w), float32, or float64 for float64.
    """
    image_B1HW = saliency_BHW[:, None].to(torch.promote_types(saliency_BHW.dtype, torch.float32))
    if released_code:
        cells = F.interpolate(image_B1HW, size=grid, mode="bilinear", align_corners=True)
    else:
        cells = F.adaptive_avg_pool2d(image_B1HW, grid)
    return cells[:, 0]


def attention_loss(
    signed_BHW: Tensor,
    saliency_BHW: Tensor,
    counts_B: Tensor | None = None,
    released_code: bool = False,
) -> AttentionTerms:
    r"""Compare Grad-CAM maps with saliency, image by image.

    .. math:: L = \frac{1}{|V|} \sum_{n \in V} (1 - \cos(\mathrm{ReLU}(G_n), M_n))

    Selvaraju et al., arXiv 2012.04630. V are the images in which something is salient; the others
    have nothing to look at. Where ReLU leaves nothing of a map its loss is 1, without a gradient.

    ``released_code=True`` is what salesforce/CAST ``grad_cam.py`` and ``main_cast.py`` do: an
    in-place normalisation makes the ReLU void, so maps are signed ones stretched to [0, 1]; and
    one cosine is taken over the maps of all images laid end to end.

    Args:
        signed_BHW: (B, H, W) maps of ``grad_cam``.
        saliency_BHW: (B, H, W) saliency at the same resolution, at least 0; no gradient.
        counts_B: (B,) bool, images to leave out whatever their saliency; None for none.
        released_code: the variant of the authors' code.

    Returns:
        The terms; with no image that counts the loss is 0 with zero gradients.
    """
    saliency_BN = saliency_BHW.detach().to(signed_BHW.dtype).flatten(1)
    counted_B = (saliency_BN > 0).any(dim=1)
    if counts_B is not None:
        counted_B = counted_B & counts_B
    signed_BN = signed_BHW.flatten(1)
    if released_code:
        shifted_BN = signed_BN - signed_BN.amin(dim=1, keepdim=True)
        map_BN = shifted_BN / (shifted_BN.amax(dim=1, keepdim=True) + _RELEASED_EPS)
        # All images end to end; what does not count is zero in both.
        counted_B1 = counted_B[:, None].to(map_BN.dtype)
        map_1N, saliency_1N = ((x * counted_B1).view(1, -1) for x in (map_BN, saliency_BN))
        loss = (1 - F.cosine_similarity(map_1N, saliency_1N)[0]) * counted_B1.amax()
    else:
        map_BN = F.relu(signed_BN)
        cosine_B = (unit(map_BN) * unit(saliency_BN)).sum(dim=1)
        loss = weighted_mean(1 - cosine_B, counted_B)
    return AttentionTerms(loss, map_BN.detach().view(signed_BHW.shape), counted_B)
