"""The vision transformer of MoCo v3."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.models.backbones.timm import TimmBackbone
from dense_cl.registry import MODELS


@MODELS.register_module()
class MoCoV3ViT(TimmBackbone):
    """A plain timm transformer with fixed positions and a fixed, random patch projection.

    Chen et al., arXiv 2104.02057, and facebookresearch/moco-v3 ``vits.py``: 2-D sin-cos position
    embeddings that are not learnt, Xavier-uniform weights (queries, keys and values each as a
    matrix of its own, the patch projection as a linear layer of its pixels), and the patch
    projection left as it was drawn, which keeps the training stable. Images are represented by
    the class token behind the final norm, as in the authors' code.

    Names are timm's: an export loads in ``timm.create_model(model_name, num_classes=0)`` given
    the same ``**kwargs``. The paper's ViT-S has ``num_heads=12``, timm's has 6, and the weights do
    not tell. At other image sizes than ``img_size`` timm resamples the positions.

    Args:
        model_name: timm's name of a plain vision transformer, such as 'vit_base_patch16_224'.
        out_indices: levels to return, of which the last is needed; by default the last four.
        pyramid: see ``TimmBackbone``.
        freeze_patch_embed: leave the patch projection as it was drawn.
        **kwargs: for ``timm.create_model``.

    Raises:
        DenseCLError: as ``TimmBackbone``; or not a plain vision transformer of a width that four
            divides.
    """

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] | None = None,
        pyramid: bool = False,
        freeze_patch_embed: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model_name, out_indices, pyramid=pyramid, class_token=True, weight_init="moco", **kwargs
        )
        model: Any = self.model
        projection: Any = getattr(model.patch_embed, "proj", None)
        plain = isinstance(projection, nn.Conv2d) and model.num_prefix_tokens == 1
        if not plain or model.pos_embed is None or model.embed_dim % 4:
            raise DenseCLError(
                f"timm model '{model_name}' is no plain vision transformer with one class token,"
                " position embeddings, a linear patch projection and a width that 4 divides."
            )
        rows, columns = model.patch_embed.grid_size
        positions = sincos_positions(rows, columns, model.embed_dim)
        prefix = positions.new_zeros(model.pos_embed.shape[1] - len(positions), model.embed_dim)
        with torch.no_grad():
            model.pos_embed.copy_(torch.cat([prefix, positions]))
            bound = math.sqrt(6 / (projection.weight[0].numel() + model.embed_dim))
            nn.init.uniform_(projection.weight, -bound, bound)
            nn.init.zeros_(projection.bias)
        model.pos_embed.requires_grad_(False)
        model.patch_embed.requires_grad_(not freeze_patch_embed)


def sincos_positions(rows: int, columns: int, channels: int, base: float = 10000.0) -> Tensor:
    r"""Return the 2-D sine-cosine embedding of a grid, (rows * columns, channels).

    A quarter of the channels each for :math:`\sin(\omega_i r)`, :math:`\cos(\omega_i r)`,
    :math:`\sin(\omega_i c)` and :math:`\cos(\omega_i c)` of cell (r, c), with :math:`\omega_i =
    base^{-4 i / channels}`, cells row by row. On square grids this is what
    ``build_2d_sincos_position_embedding`` of facebookresearch/moco-v3 ``vits.py`` computes; on
    others its cells come column by column, unlike the patches.

    Args:
        rows: of the grid.
        columns: of the grid.
        channels: a multiple of 4.
        base: of the geometric sequence of frequencies.
    """
    quarter = channels // 4
    frequency = base ** (-torch.arange(quarter) / quarter)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    down, across = (place.reshape(-1, 1) * frequency for place in (row, column))
    return torch.cat([down.sin(), down.cos(), across.sin(), across.cos()], dim=1)
