"""From images and their regions to vectors: the part of mining that takes the time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.labelled_images import central_square
from dense_cl.mining.candidates import candidate_boxes
from dense_cl.mining.features import UNREADABLE, FeatureStore, ImageFeatures
from dense_cl.mining.ranking import unit
from dense_cl.mining.settings import MiningSettings
from dense_cl.regions.provider import RegionProvider
from dense_cl.sources.base import ImageSource, UnreadableImageError
from dense_cl.transfer.encoder import load_encoder
from dense_cl.views.crops import crop_and_resize


class Crops(Dataset[tuple[Tensor, Tensor] | DenseCLError]):
    """The central square and the regions of an image, or what went wrong.

    Errors are values, as a data loader would put a worker's traceback before their message.
    """

    def __init__(
        self, source: ImageSource, regions: RegionProvider, settings: MiningSettings
    ) -> None:
        self.source, self.regions, self.settings = source, regions, settings

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor] | DenseCLError:
        """Return (A, 4) int32 boxes and (1 + A, S, S, 3) uint8 crops, or the error."""
        try:
            image = self.source.load(index)
            boxes = self.regions(image, index).boxes
        except DenseCLError as error:
            return error
        if boxes is None:
            return DenseCLError(
                "mining: these regions have no boxes. Use a provider that gives boxes, such as"
                " selective search."
            )
        s = self.settings
        limits = s.min_size, s.max_aspect, s.max_iou, s.max_boxes
        chosen = candidate_boxes(boxes, (image.shape[0], image.shape[1]), *limits)
        crops = [central_square(image, s.size)]
        crops += [crop_and_resize(image, tuple(box), (s.size, s.size)) for box in chosen.tolist()]
        return torch.from_numpy(chosen), torch.from_numpy(np.stack(crops))


def extract(
    store: FeatureStore,
    backbone: str | Path,
    crops: Crops,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Compute the parts that are missing.

    Args:
        store: where they go.
        backbone: file of an encoder.
        crops: of the same images.
        workers: processes that cut crops.
        progress: called with (images done, images in all).

    Raises:
        DenseCLError: the regions of an image cannot be had.
    """
    missing = store.missing()
    if not missing:
        return
    encoder = load_encoder(backbone)
    frozen, head = FrozenBackbone.wrap(encoder.backbone), encoder.head.eval()
    wanted = [index for part in missing for index in part]
    done = store.total - len(wanted)
    loader = iter(DataLoader(crops, batch_size=None, sampler=wanted, num_workers=workers))
    for part in missing:
        images = []
        for _ in part:
            images.append(_features(next(loader), frozen, head))
            done += 1
            if progress:
                progress(done, store.total)
        store.write(part.start, images)


@torch.inference_mode()
def _features(
    item: tuple[Tensor, Tensor] | DenseCLError, frozen: FrozenBackbone, head: nn.Module
) -> ImageFeatures:
    if isinstance(item, UnreadableImageError):
        return replace(UNREADABLE, reason=item.reason)
    if isinstance(item, DenseCLError):
        raise item
    boxes, crops = item
    # An image's crops make a batch of their own, so that nothing depends on other images.
    vectors = frozen.pooled(crops)
    regions = unit(vectors[1:].numpy())
    return ImageFeatures(head(vectors[:1])[0].numpy(), boxes.numpy(), regions)
