"""Bytes to the device first, floating point there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.registry import MODELS
from dense_cl.views.batch import ViewBatch


@MODELS.register_module()
class ViewPreprocessor(BaseDataPreprocessor):
    """Move the views as uint8, then normalise and lay them out on the device.

    Args:
        mean: per channel, RGB, in 0..255.
        std: per channel, RGB, in 0..255.

    Raises:
        DenseCLError: they are for pixels in 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
    ) -> None:
        super().__init__(non_blocking=True)
        if max(std) < 1:
            raise DenseCLError(
                f"mean {list(mean)} and std {list(std)} are for pixels in 0..1, and images are in"
                " 0..255. Multiply them by 255."
            )
        for name, values in (("mean", mean), ("std", std)):
            tensor = torch.tensor(values, dtype=torch.get_default_dtype()).view(1, -1, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Return what ``Learner.forward`` takes.

        Args:
            data: what ``collate_views`` gives: ``views`` with (B, H, W, 3) uint8 images,
                ``index``, ``unreadable`` (dropped here; a hook has read it).
            training: unused, part of MMEngine's interface.

        Returns:
            ``views`` with (B, 3, H, W) floating-point images, channels_last in memory, and
            ``index``.
        """
        index = data.get("index")
        return {
            "views": [self._normalise(view.to(self.mean.device)) for view in data["views"]],
            "index": None if index is None else index.to(self.mean.device, non_blocking=True),
        }

    def _normalise(self, view: ViewBatch) -> ViewBatch:
        # (B, H, W, 3) bytes seen as (B, 3, H, W) are channels_last already: no copy is needed.
        image = view.image.permute(0, 3, 1, 2).to(self.mean.dtype)
        return replace(view, image=image.sub_(self.mean).div_(self.std))
