"""Batches of views as they travel from the workers to the model."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dense_cl.regions.regions import RegionBatch


@dataclass(frozen=True)
class ViewBatch:
    """One view of each of B images.

    Attributes:
        image: (B, H, W, 3) uint8 RGB as collated; the model's preprocessor turns it into
            (B, 3, H, W) normalised floating point on the device, channels_last in memory.
        matrix: (B, 2, 3) float64 affine maps from view pixels to source pixels, half-pixel
            centres (see ``dense_cl.views.geometry.ViewGeometry``).
        source_size: (B, 2) int64 height and width of the source images, in pixels.
        view_size: (height, width) of the view in pixels.
        regions: what the view shows of the regions of its images; None without a provider.
        saliency: (B, H, W) bool, the salient pixels of the view; all False for an image in which
            nothing is. None without a provider.
        other_image: the view shows another image than view 0 does, and lies in that one: its
            geometry says nothing about the other views.
    """

    image: Tensor
    matrix: Tensor
    source_size: Tensor
    view_size: tuple[int, int]
    regions: RegionBatch | None = None
    saliency: Tensor | None = None
    other_image: bool = False

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "ViewBatch":
        """Return the batch with its tensors on ``device``."""
        return replace(
            self,
            image=self.image.to(device, non_blocking=non_blocking),
            matrix=self.matrix.to(device, non_blocking=non_blocking),
            source_size=self.source_size.to(device, non_blocking=non_blocking),
            regions=self.regions and self.regions.to(device, non_blocking=non_blocking),
            saliency=None
            if self.saliency is None
            else self.saliency.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "ViewBatch":
        """Return the batch in page-locked memory (called by ``DataLoader``)."""
        return replace(
            self,
            image=self.image.pin_memory(),
            matrix=self.matrix.pin_memory(),
            source_size=self.source_size.pin_memory(),
            regions=self.regions and self.regions.map(Tensor.pin_memory),
            saliency=None if self.saliency is None else self.saliency.pin_memory(),
        )
