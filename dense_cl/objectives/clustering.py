"""What the methods that compare views with prototypes have in common."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.errors import DenseCLError, check_positive
from dense_cl.losses.info_nce import unit
from dense_cl.models.features import FeatureBundle
from dense_cl.objectives.base import Objective
from dense_cl.registry import HEADS


class ClusterObjective(Objective):
    """Embeds all views of multi-crop; the first of them decide to which prototype an image goes.

    Views of a size go through the backbone, and all views through the head, in one call, which is
    what BatchNorm takes its statistics over in facebookresearch/swav ``src/resnet50.py``.

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a projection head (HEADS registry).
        temperature: T > 0.
        num_views: V, views of an image, the larger ones first.
        num_assign_views: A, how many of the first views assign.

    Raises:
        DenseCLError: fewer than two views, or not 1 <= A <= V.
    """

    joint_views = True

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        temperature: float,
        num_views: int,
        num_assign_views: int,
    ) -> None:
        super().__init__()
        if num_views < 2 or not 1 <= num_assign_views <= num_views:
            raise DenseCLError(
                f"num_views={num_views}, num_assign_views={num_assign_views}: at least two views"
                " are compared, and from one to all of them assign."
            )
        check_positive(type(self).__name__, temperature=temperature)
        self.temperature = temperature
        self.online_views = tuple(range(num_views))
        self.num_assign_views = num_assign_views
        self.head = HEADS.build(dict(head, in_channels=in_channels[-1]))

    def embed(self, features: FeatureBundle, views: tuple[int, ...]) -> Tensor:
        """Return the unit embeddings of some views, (V, B, D), in float32 at least."""
        pooled = torch.cat([features.online[v].pooled for v in views])
        return unit(self.head(pooled)).unflatten(0, (len(views), -1))


def similarities(embedding: Tensor, prototypes_KD: Tensor) -> Tensor:
    """Return the cosines of unit vectors, (..., D), and prototypes: (..., K).

    Not in the type of autocast: divided by an epsilon of 0.05, bfloat16's three digits would
    change the assignments.
    """
    with torch.autocast(embedding.device.type, enabled=False):
        return embedding @ prototypes_KD.to(embedding.dtype).T


class Prototypes(nn.Linear):
    """K learnt directions; the optimiser changes their length, ``normalise`` sets it back to 1.

    Args:
        channels: D.
        number: K.
    """

    def __init__(self, channels: int, number: int) -> None:
        super().__init__(channels, number, bias=False)
        self.normalise()

    @torch.no_grad()
    def normalise(self) -> None:
        """Give every prototype unit length."""
        self.weight.copy_(F.normalize(self.weight, dim=1))
