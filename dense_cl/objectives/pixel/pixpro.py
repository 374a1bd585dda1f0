"""PixPro: a location, smoothed over its view, agrees with the same place of the other view."""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from dense_cl.errors import check_positive
from dense_cl.losses.pixel_consistency import pixel_consistency
from dense_cl.losses.pixel_propagation import propagate
from dense_cl.models.heads import DenseMLPHead
from dense_cl.objectives.pixel.pixel_pairs import PixelPairs
from dense_cl.registry import OBJECTIVES


@OBJECTIVES.register_module()
class PixPro(PixelPairs):
    """Pixel-to-propagation consistency, both directions, with EMA targets and no negatives.

    Xie et al., arXiv 2011.10043, section 3.2; zdaxie/PixPro ``contrast/models/PixPro.py``. Lies in
    [-4, 4]; see ``dense_cl.losses.pixel_consistency`` for what is the paper's and what the code's.
    The instance branch (``--pixpro-ins-loss-weight``) is a ``BYOL`` objective in the same list; the
    code projects and predicts every location and averages then, ``BYOL`` averages first.

    Args:
        in_channels, head, correspondence, stage: see ``PixelPairs``.
        power: γ of ``dense_cl.losses.pixel_propagation``, 2 in the paper.
        clamp: c of the same.
        transform_layers: 1x1 convolutions between projections and the values that are propagated;
            0 for none.
        norm: between them, if there are two or more.
    """

    name = "pixpro"

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        correspondence: Mapping[str, Any] | None = None,
        power: float = 2.0,
        clamp: float = 0.0,
        transform_layers: int = 1,
        norm: str = "SyncBN",
        stage: int = -1,
    ) -> None:
        super().__init__(in_channels, head, correspondence, stage)
        check_positive("PixPro", power=power)
        self.power, self.clamp = power, clamp
        width = cast("int", self.head.out_channels)
        self.transform = DenseMLPHead(width, width, width, transform_layers, norm=norm)

    def predict(self, projection_BDHW: Tensor) -> Tensor:
        """Propagate: see ``dense_cl.losses.pixel_propagation``."""
        values_BDHW = self.transform(projection_BDHW)
        return propagate(projection_BDHW.flatten(2), values_BDHW.flatten(2), self.power, self.clamp)

    def compare(self, query_BDS: Tensor, key_BDT: Tensor, weights_BST: Tensor) -> Tensor:
        """See ``dense_cl.losses.pixel_consistency``."""
        return pixel_consistency(query_BDS, key_BDT, weights_BST)
