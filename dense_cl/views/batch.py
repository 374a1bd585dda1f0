"""Batches of views as they travel from the workers to the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from dense_cl.regions.regions import RegionBatch

# Of crops that no draw of a box led to: one was made that does what the policy asks, or there was
# nothing to ask for.
CONSTRUCTED, UNCONSTRAINED = -1, 0


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
        crop_tries: (B,) int64, draws until a box did what the crop policy asks, or one of the two
            constants above; None if the policy does not count.
        other_image: the view shows another image than view 0 does, and lies in that one: its
            geometry says nothing about the other views.
        borders: (B, E, 3) float64 a, b, c of half-planes a x + b y + c >= 0 of source positions,
            beyond any of which the view is filled though the source goes on, as after a rotation of
            a crop (``ViewGeometry.within``). None if all views of the batch are without.
    """

    image: Tensor
    matrix: Tensor
    source_size: Tensor
    view_size: tuple[int, int]
    regions: RegionBatch | None = None
    saliency: Tensor | None = None
    crop_tries: Tensor | None = None
    other_image: bool = False
    borders: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> "ViewBatch":
        """Return the batch with ``change`` applied to every tensor."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {k: change(v) for k, v in held.items() if isinstance(v, Tensor)}
        return replace(self, **changed, regions=self.regions and self.regions.map(change))

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "ViewBatch":
        """Return the batch with its tensors on ``device``."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "ViewBatch":
        """Return the batch in page-locked memory (called by ``DataLoader``)."""
        return self.map(Tensor.pin_memory)


def crop_rates(views: Sequence[ViewBatch]) -> dict[str, Tensor]:
    """Say how the crops of a batch came about, of those views whose crop policy counts that.

    Returns:
        Shares of crops, scalar float32 that sum to 1: ``crop_first_try``, ``crop_retry``,
        ``crop_constructed`` and ``crop_unconstrained``. Empty if no policy counts.
    """
    counted = [view.crop_tries for view in views if view.crop_tries is not None]
    if not counted:
        return {}
    tries = torch.cat(counted)
    kinds = {
        "crop_first_try": tries == 1,
        "crop_retry": tries > 1,
        "crop_constructed": tries == CONSTRUCTED,
        "crop_unconstrained": tries == UNCONSTRAINED,
    }
    return {name: kind.float().mean() for name, kind in kinds.items()}
