"""Features of boxes: pooled from a map or a pyramid, and what a detector's box head makes of them.

Shape suffixes: B images, N boxes per image, C channels, S side of the pooled grid.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from dense_cl.errors import DenseCLError
from dense_cl.models.pyramid import ConvNorm


def pool_boxes(map_BCHW: Tensor, boxes_N5: Tensor, view_size: tuple[int, int], side: int) -> Tensor:
    """Average a map over a grid of cells in each box (RoIAlign; He et al., arXiv 1703.06870).

    ``torchvision.ops.roi_align`` with ``aligned=True``, which is exact for half-pixel centres, and
    as many samples per cell as it covers map cells. A map is a grid laid over the whole view, also
    where the view's size is no multiple of the backbone's stride.

    Args:
        map_BCHW: feature map; computed on in float32 at least.
        boxes_N5: image of the batch, x1, y1, x2, y2 in pixels of the view.
        view_size: height and width of the view, in pixels.
        side: S.

    Returns:
        (N, C, S, S) in float32, or float64 for a float64 map.
    """
    dtype = torch.promote_types(map_BCHW.dtype, torch.float32)
    height, width = map_BCHW.shape[2:]
    scale_x, scale_y = width / view_size[1], height / view_size[0]
    cells_N5 = boxes_N5 * boxes_N5.new_tensor([1, scale_x, scale_y, scale_x, scale_y])
    return roi_align(map_BCHW.to(dtype), cells_N5.to(dtype), side, aligned=True)


def with_image(boxes_BN4: Tensor) -> Tensor:
    """Put the number of its image before each box: (B * N, 5)."""
    image_BN1 = torch.arange(len(boxes_BN4), device=boxes_BN4.device)[:, None, None]
    image_BN1 = image_BN1.expand(-1, boxes_BN4.shape[1], 1).to(boxes_BN4.dtype)
    return torch.cat([image_BN1, boxes_BN4], dim=2).flatten(0, 1)


class PyramidPooling(nn.Module):
    """Pools each box from the level that fits its size.

    Wei et al., arXiv 2106.02637 (SoCo), "scale-aware assignment": sqrt(width x height) up to 48
    pixels goes to P2, up to 96 to P3, up to 192 to P4, the rest to P5, in views of 224 pixels;
    hologerry/SoCo ``contrast/data/bboxs_utils.py`` and ``contrast/option.py``.

    Args:
        level_sizes: largest sqrt(area), in pixels of the view, of all levels but the last.
        side: S of the pooled grid.
    """

    level_sizes: Tensor

    def __init__(self, level_sizes: Sequence[float], side: int) -> None:
        super().__init__()
        if list(level_sizes) != sorted(level_sizes):
            raise DenseCLError(f"level_sizes {tuple(level_sizes)} must grow from level to level.")
        sizes = torch.tensor(level_sizes, dtype=torch.float64)
        self.register_buffer("level_sizes", sizes, persistent=False)
        self.side = side

    def forward(
        self, levels: Sequence[Tensor], boxes_BN4: Tensor, view_size: tuple[int, int]
    ) -> Tensor:
        """Return (B * N, C, S, S); boxes are x1, y1, x2, y2 in pixels of the view."""
        boxes_N5 = with_image(boxes_BN4)
        width_N, height_N = boxes_N5[:, 3] - boxes_N5[:, 1], boxes_N5[:, 4] - boxes_N5[:, 2]
        size_N = (width_N * height_N).clamp_min(0).sqrt()
        level_N = torch.bucketize(size_N, self.level_sizes.to(size_N.dtype))
        # Sorted by level, so that the device is asked once how many go to each. All levels are
        # pooled, also with no box: then every parameter has a gradient on every process.
        order_N = level_N.argsort(stable=True)
        counts = torch.bincount(level_N, minlength=len(levels)).tolist()
        parts = boxes_N5[order_N].split(counts)
        pooled = [
            pool_boxes(level, part, view_size, self.side)
            for level, part in zip(levels, parts, strict=True)
        ]
        return torch.cat(pooled)[order_N.argsort()]


class BoxHead(nn.Module):
    """Convolutions, then linear layers, each with ReLU: the shared part of a detector's box head.

    State dict and result are those of the shared layers of ``mmdet.ConvFCBBoxHead``. Four
    convolutions and one linear layer are the head of SoCo (hologerry/SoCo
    ``contrast/models/fast_rcnn_conv_fc_head.py``).

    Args:
        in_channels: C of the pooled boxes.
        side: S of the pooled boxes.
        num_convs: 3x3 convolutions.
        num_fcs: linear layers, 1 or more.
        fc_channels: their width, the dimension of the result.
        norm: 'BN', 'SyncBN' or 'GN' behind every convolution; None for none.
    """

    def __init__(
        self,
        in_channels: int,
        side: int,
        num_convs: int,
        num_fcs: int,
        fc_channels: int,
        norm: str | None,
    ) -> None:
        super().__init__()
        if num_fcs < 1 or num_convs < 0:
            raise DenseCLError(
                f"num_convs={num_convs}, num_fcs={num_fcs}: a box head has at least one linear"
                " layer, and no less than no convolution."
            )
        self.shared_convs = nn.ModuleList(
            ConvNorm(in_channels, in_channels, 3, norm, relu=True) for _ in range(num_convs)
        )
        widths = [in_channels * side**2, *[fc_channels] * (num_fcs - 1)]
        self.shared_fcs = nn.ModuleList(nn.Linear(width, fc_channels) for width in widths)

    def forward(self, pooled_NCSS: Tensor) -> Tensor:
        """Map (N, C, S, S) to (N, F)."""
        for conv in self.shared_convs:
            pooled_NCSS = conv(pooled_NCSS)
        vector_NF = pooled_NCSS.flatten(1)
        for fc in self.shared_fcs:
            vector_NF = fc(vector_NF).relu()
        return vector_NF
