"""C4 detectors: the last stage of the backbone is a part of the RoI head, with a norm layer behind.

The norm layer is that of He et al., arXiv 1911.05722, appendix A.2 (detection from weights that are
not scaled as supervised ones are); ``Res5ROIHeadsExtraNorm`` in ``detection/train_net.py`` of
facebookresearch/moco.
"""

from typing import Any

from mmcv.cnn import build_norm_layer
from mmdet.models.roi_heads.shared_heads import ResLayer
from torch import Tensor

from dense_cl.registry import MODELS


@MODELS.register_module()
class NormedResLayer(ResLayer):
    """MMDetection's ``ResLayer`` and a norm layer on its result.

    Args:
        **options: of ``ResLayer``; ``norm_cfg`` holds for the last layer too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        last = getattr(self, f"layer{self.stage + 1}")[-1]
        channels = last.conv1.in_channels  # of a residual block: what comes in goes out
        self.norm = build_norm_layer(self.norm_cfg, channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Map (R, C, H, W) features of regions to (R, C', H', W')."""
        return self.norm(super().forward(x))
