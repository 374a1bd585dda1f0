"""ResNet that returns the feature maps of its stages."""

from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from dense_cl.errors import DenseCLError
from dense_cl.models.norm import norm_layer
from dense_cl.models.standardized import standardize_weights_of
from dense_cl.registry import MODELS

_BLOCKS: dict[int, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
}
DEPTHS = tuple(_BLOCKS)


@MODELS.register_module()
class ResNet(TorchvisionResNet):
    """torchvision's ResNet without its classifier; the state dict has torchvision's keys.

    He et al., arXiv 1512.03385, with the stride on the 3x3 convolution (v1.5).

    Args:
        depth: 18, 34, 50, 101 or 152.
        out_indices: stages to return, 0 (stride 4) to 3 (stride 32).
        norm: 'BN', 'SyncBN' or 'GN' (32 groups).
        zero_init_residual: start every residual branch at zero.
        standardize_weights: standardise the weights of all convolutions, as BYOL without batch
            statistics does together with 'GN' (Richemond et al., arXiv 2010.10241).

    Attributes:
        out_channels: channels of the returned maps.
        strides: pixels per cell of the returned maps.
        stage_names: 'layer1' to 'layer4', those of the returned maps.
    """

    def __init__(
        self,
        depth: int,
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        norm: str = "BN",
        zero_init_residual: bool = False,
        standardize_weights: bool = False,
    ) -> None:
        if depth not in _BLOCKS:
            raise DenseCLError(f"ResNet has no depth {depth}; choose among {list(_BLOCKS)}.")
        if not out_indices or not set(out_indices) <= {0, 1, 2, 3}:
            raise DenseCLError(f"ResNet: out_indices {out_indices} are not among 0, 1, 2, 3.")
        block, layers = _BLOCKS[depth]
        layer: Callable[[int], nn.Module] = norm_layer(norm)
        super().__init__(block, layers, zero_init_residual=zero_init_residual, norm_layer=layer)
        del self.fc, self.avgpool
        if standardize_weights:
            standardize_weights_of(self)
        self.out_indices = tuple(sorted(out_indices))
        self.out_channels = tuple(64 * block.expansion * 2**i for i in self.out_indices)
        self.strides = tuple(4 * 2**i for i in self.out_indices)
        self.stage_names = tuple(f"layer{i + 1}" for i in self.out_indices)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the chosen stages, shallow to deep."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image_BCHW))))
        maps = []
        for index in range(self.out_indices[-1] + 1):
            x = getattr(self, f"layer{index + 1}")(x)
            if index in self.out_indices:
                maps.append(x)
        return tuple(maps)
