"""Grad-CAM of the score of a pair of images: where the first looks to find the second in itself."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.errors import DenseCLError, nearest
from dense_cl.losses.attention import grad_cam
from dense_cl.losses.info_nce import unit


def stage_number(backbone: nn.Module, layer: str | int) -> int:
    """Return which stage map a layer is, counted from the end: -1 for the last.

    Args:
        backbone: as ``build_backbone`` returns it.
        layer: its name in ``backbone.stage_names``, such as 'layer4', or its number among the maps.

    Raises:
        DenseCLError: no such layer.
    """
    names: Sequence[str] = getattr(backbone, "stage_names", ())
    stages = len(backbone.out_channels)  # type: ignore[arg-type]
    if isinstance(layer, int) and -stages <= layer < stages:
        return layer - stages if layer >= 0 else layer
    if layer in names:
        return names.index(str(layer)) - stages
    raise DenseCLError(
        f"{type(backbone).__name__} returns no map of layer {layer!r}.{nearest(str(layer), names)}"
        f" A number from -{stages} to {stages - 1} does as well."
    )


def score_grad_cam(score_B: Tensor, map_BCHW: Tensor, create_graph: bool = False) -> Tensor:
    """Return the signed Grad-CAM map of a score for each image, (B, H, W), in float32 at least.

    Args:
        score_B: (B,) scores, each of its own image but for batch statistics.
        map_BCHW: (B, C, H, W) activations that the scores were computed from.
        create_graph: keep what the gradient of the map itself needs (a second backward pass).

    Raises:
        DenseCLError: the scores do not depend on these activations.
    """
    gradient = None
    if map_BCHW.requires_grad:
        gradient = torch.autograd.grad(
            score_B.sum(),
            map_BCHW,
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
        )[0]
    if gradient is None:
        raise DenseCLError(
            "Grad-CAM: the score does not depend on this map of the backbone. A class token does"
            " not see the last map, maps that are resampled or reordered copies (pyramid=True,"
            " earlier blocks of a transformer) lead nowhere; with chunk_size or joint views only"
            " the last map is left, and a frozen backbone leaves none. Choose another layer, or do"
            " without these."
        )
    return grad_cam(map_BCHW, gradient)


def pair_grad_cam(
    backbone: nn.Module, query_BCHW: Tensor, key_BCHW: Tensor, layer: str | int = -1
) -> Tensor:
    """Return where frozen features of ``query`` agree with those of ``key``.

    Grad-CAM, with its ReLU, of the cosine of the images' averaged last maps: the score of a pair
    where no projection head is left. Training (``GradCAMAttention``) takes the score behind the
    head.

    Args:
        backbone: in evaluation mode; its parameters need no gradient.
        query_BCHW: (B, 3, H, W) normalised images that the maps are of.
        key_BCHW: (B, 3, H', W') normalised images that they are compared with; for CAST's score
            multiply them by their saliency before.
        layer: see ``stage_number``.

    Returns:
        (B, h, w) at the resolution of the layer, at least 0, float32.

    Raises:
        DenseCLError: no such layer, or the averaged last map does not depend on it.
    """
    stage = stage_number(backbone, layer)
    with torch.no_grad():
        key_BC = backbone(key_BCHW)[-1].mean(dim=(2, 3))
    with torch.enable_grad():
        # Parameters are frozen, so the graph has to begin at the image; a clone, as it may come
        # out of inference mode.
        maps = backbone(query_BCHW.clone().requires_grad_())
        score_B = (unit(maps[-1].mean(dim=(2, 3))) * unit(key_BC.clone())).sum(dim=1)
        signed_BHW = score_grad_cam(score_B, maps[stage])
    return F.relu(signed_BHW).detach()
