"""Train a backbone and a linear layer on labelled images (see ``fine_tuning``)."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.evaluation.pictures import Pictures
from dense_cl.models.backbones import image_vectors

BATCH, MOMENTUM = 64, 0.9
_SECONDS = 30  # between two lines of progress


@dataclass(frozen=True)
class Recipe:
    """How long and on what a network is fine-tuned.

    Attributes:
        steps: of ``BATCH`` images.
        size: side of the images, in pixels.
        workers: processes that read images.
        seed: of the linear layer, the order and the crops.
    """

    steps: int = 5000
    size: int = 224
    workers: int = 0
    seed: int = 0


class DivergedError(DenseCLError):
    """The loss of a fine-tuning is no number any more."""


class Classifier(nn.Module):
    """A linear layer on the vectors of a backbone; takes uint8 RGB images (N, H, W, 3)."""

    def __init__(self, frozen: FrozenBackbone, channels: int, num_classes: int) -> None:
        super().__init__()
        self.inputs = frozen
        self.backbone = copy.deepcopy(frozen.module).requires_grad_(True)
        self.linear = nn.Linear(channels, num_classes).to(frozen.mean.device)

    def forward(self, images_NHWC: Tensor) -> Tensor:
        """Return (N, K) logits."""
        return self.linear(image_vectors(self.backbone, self.inputs.normalised(images_NHWC)))


def fine_tune(
    frozen: FrozenBackbone,
    images: LabelledImages,
    targets: Tensor,
    num_classes: int,
    rate: float,
    decay: float,
    recipe: Recipe,
    progress: Callable[[str], None] = lambda line: None,
) -> Classifier:
    """Return a classifier after training all of it; ``frozen`` stays as it is.

    Args:
        frozen: the backbone to begin with.
        images: to train on.
        targets: (N,) classes, or (N, K) of 0 and 1 for a sigmoid of each class.
        num_classes: K.
        rate: learning rate at the beginning; a cosine takes it to 0.
        decay: weight decay, of all parameters.
        recipe: steps, size and seed.
        progress: called with a line of text every half a minute.

    Raises:
        DivergedError: the loss is no number any more.
        DenseCLError: an image cannot be read.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        channels = frozen.pooled(torch.zeros(1, recipe.size, recipe.size, 3)).shape[1]
        model = Classifier(frozen, channels, num_classes).train()
        optimizer = torch.optim.SGD(
            model.parameters(), lr=rate, momentum=MOMENTUM, nesterov=True, weight_decay=decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=recipe.steps)
        order = _order(len(images), recipe)
        loader = DataLoader(
            _Augmented(images, recipe.size), batch_sampler=order, num_workers=recipe.workers
        )
        first = last = time.monotonic()
        for step, (pixels, index) in enumerate(loader, start=1):
            wanted = targets[index].to(frozen.mean.device)
            logits = model(pixels)
            if targets.dim() == 2:
                loss = F.binary_cross_entropy_with_logits(logits, wanted.to(logits.dtype))
            else:
                loss = F.cross_entropy(logits, wanted)
            if not loss.isfinite():
                raise DivergedError(
                    f"fine-tuning at rate {rate:g}, decay {decay:g} diverged; leave this rate out."
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if (now := time.monotonic()) - last > _SECONDS:
                last, left = now, (now - first) / step * (recipe.steps - step)
                progress(f"step {step} of {recipe.steps}, {left:.0f} s left, loss {loss:.3g}")
    return model


@torch.no_grad()
def predict(model: Classifier, images: LabelledImages, recipe: Recipe) -> Tensor:
    """Return (N, K) logits of central squares, on the CPU, in evaluation mode."""
    pictures = Pictures(images.source, "square", (recipe.size, recipe.size))
    model.eval()
    logits = []
    for start in range(0, len(pictures), BATCH):
        batch = [pictures[i] for i in range(start, min(start + BATCH, len(pictures)))]
        for image in batch:
            if isinstance(image, DenseCLError):
                raise image
        logits.append(model(torch.stack([b for b in batch if isinstance(b, Tensor)])).cpu())
    return torch.cat(logits)


class _Augmented(Dataset[tuple[Tensor, int]]):
    """Random crops of images, as uint8, and their place in the set.

    An item is asked for by a seed of its crop and the place: whoever loads it, it is the same.
    """

    def __init__(self, images: LabelledImages, size: int) -> None:
        self.images = images
        bicubic = v2.InterpolationMode.BICUBIC
        crop = v2.RandomResizedCrop(size, interpolation=bicubic, antialias=True)
        self.change = v2.Compose([crop, v2.RandomHorizontalFlip()])

    def __getitem__(self, asked: tuple[int, int]) -> tuple[Tensor, int]:
        seed, index = asked
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            image = self.change(Image.fromarray(self.images.source.load(index)))
        return torch.from_numpy(np.array(image)), index


def _order(count: int, recipe: Recipe) -> list[list[tuple[int, int]]]:
    """Return (seed of the crop, place) of every batch: passes over all images in new orders.

    Those who are left at the end of a pass make a smaller batch, unless it is of one image, of
    which batch normalisation can make nothing.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    batches: list[list[int]] = []
    while len(batches) < recipe.steps:
        parts = torch.randperm(count, generator=generator).split(BATCH)
        batches += [part.tolist() for part in parts if len(part) > 1 or count == 1]
    batches = batches[: recipe.steps]
    # Hashed, because torch's generator reads the low 32 bits alone: counted, all runs had the same.
    crops = np.random.SeedSequence(recipe.seed).generate_state(sum(map(len, batches)))
    seeds = iter(crops.tolist())
    return [[(next(seeds), index) for index in batch] for batch in batches]
