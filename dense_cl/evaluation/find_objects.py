"""What a frozen backbone says where the object of an image is: two boxes and an attention map."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.localization_metrics import THRESHOLD
from dense_cl.models.grad_cam import score_grad_cam
from dense_cl.regions.saliency.found_object import FoundObject, standardised
from dense_cl.regions.saliency.lost import K_PATCHES, lost
from dense_cl.regions.saliency.token_cut import TAU, token_cut
from dense_cl.views.crops import crop_and_resize
from dense_cl.views.group import ViewGroup

_SMALLEST = 32  # pixels; every common stride divides it


@dataclass(frozen=True)
class LocalizationSettings:
    """How objects are looked for.

    Attributes:
        stage: feature map of LOST and TokenCut, 0 for the shallowest, -1 for the deepest. The last
            but one of a ResNet has a cell every 16 pixels.
        size: pixels on the longer side of what the backbone sees, see ``scaled``; smaller photos
            are enlarged.
        k_patches: see ``lost``.
        tau: see ``token_cut``.
        keys: random crops that Grad-CAM compares the image with.
        threshold: share of the largest value of an attention map that marks the object.
        seed: of the crops and random baselines, the bootstrap, and a random backbone.

    Raises:
        DenseCLError: a number out of its range.
    """

    stage: int = -2
    size: int = 320
    k_patches: int = K_PATCHES
    tau: float = TAU
    keys: int = 4
    threshold: float = THRESHOLD
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            f"size is {_SMALLEST} or more": self.size >= _SMALLEST,
            "k_patches and keys are positive": min(self.k_patches, self.keys) > 0,
            "tau is between -1 and 1": -1 <= self.tau < 1,
            "threshold is between 0 and 1": 0 <= self.threshold < 1,
            "seed is 0 or more": self.seed >= 0,
        }
        for rule, holds in rules.items():
            if not holds:
                raise DenseCLError(f"localization: {rule}; got {self}")


DEFAULTS = LocalizationSettings()


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in one image.

    Attributes:
        lost: object of LOST on the chosen stage.
        token_cut: object of TokenCut on the chosen stage.
        grad_cam: (h, w) at least 0, of the last stage.
    """

    lost: FoundObject
    token_cut: FoundObject
    grad_cam: NDArray[np.float32]


def find_objects(
    backbone: FrozenBackbone,
    image: NDArray[np.uint8],
    number: int,
    settings: LocalizationSettings = DEFAULTS,
) -> Found:
    """Look for the object of an (H, W, 3) image.

    LOST and TokenCut see a feature map brought to mean 0 and variance 1 as a whole, which is what
    valeoai/LOST does to those of a ResNet.

    Grad-CAM asks which places of the last map raise the cosine of its mean with the mean of that of
    a random crop of the same image: the score of a pair of views where the projection head is gone.
    The crops are those of MoCo v2 without blur, and the maps, after their ReLU, are averaged.

    Args:
        backbone: frozen.
        image: RGB.
        number: of the image; with the seed all that the crops depend on.
        settings: how to look.

    Raises:
        DenseCLError: the backbone has no such stage.
    """
    batch = torch.from_numpy(scaled(image, settings.size))[None]
    dense, last = backbone.chosen_stages(batch, (settings.stage, -1))
    grid = standardised(dense[0].permute(1, 2, 0).double().numpy())
    views = _key_views(settings.keys, _SMALLEST * round(settings.size / _SMALLEST))(
        image, (settings.seed, number, 0)
    )
    keys = torch.stack([torch.from_numpy(view.image) for view in views])
    key_KC = backbone.chosen_stages(keys, (-1,))[0].mean(dim=(2, 3))
    return Found(
        lost(grid, settings.k_patches),
        token_cut(grid, settings.tau),
        pair_attention(last[0], key_KC).numpy(),
    )


def pair_attention(query_CHW: Tensor, key_KC: Tensor) -> Tensor:
    """Return the mean Grad-CAM map of the cosines of a map's mean with K vectors: (H, W).

    Args:
        query_CHW: feature map.
        key_KC: pooled features of other views.
    """
    with torch.enable_grad():
        maps_KCHW = query_CHW.expand(len(key_KC), -1, -1, -1).clone().requires_grad_()
        score_K = F.cosine_similarity(maps_KCHW.mean(dim=(2, 3)), key_KC, dim=1)
        signed_KHW = score_grad_cam(score_K, maps_KCHW)
    return F.relu(signed_KHW).detach().mean(dim=0)


def scaled(image: NDArray[np.uint8], longer: int) -> NDArray[np.uint8]:
    """Bring the longer side of an image to about so many pixels.

    Both sides are rounded to multiples of 32, so that the cells of every common backbone cover the
    image exactly. This may change its shape a little.
    """
    height, width = image.shape[:2]
    scale = longer / max(height, width) / _SMALLEST
    size = tuple(_SMALLEST * max(1, round(side * scale)) for side in (height, width))
    return crop_and_resize(image, (0, 0, width, height), (size[0], size[1]))


@lru_cache(maxsize=1)
def _key_views(count: int, size: int) -> ViewGroup:
    return ViewGroup(
        count,
        (size, size),
        dict(type="RandomResizedCrop", scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3)),
        [
            dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
            dict(type="ToGray", p=0.2),
            dict(type="HorizontalFlip", p=0.5),
        ],
    )
