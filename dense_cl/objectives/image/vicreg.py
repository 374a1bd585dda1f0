"""VICReg: views agree, dimensions vary over the batch and do not covary."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from dense_cl.errors import DenseCLError
from dense_cl.losses.vicreg import vicreg
from dense_cl.models.distributed import gather_sizes, gather_with_gradient
from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.objectives.base import Objective
from dense_cl.registry import HEADS, OBJECTIVES


@OBJECTIVES.register_module()
class VICReg(Objective):
    """Variance, invariance and covariance over the images of all processes.

    Bardes et al., arXiv 2105.04906, equation 6, with the terms of the released code (see
    ``dense_cl.losses.vicreg``).

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a projection head (HEADS registry), the paper's "expander".
        invariance_weight: λ.
        variance_weight: μ.
        covariance_weight: ν.
        num_views: views per image; with more than two the first two are the large ones, and the
            terms those of VICRegL's global criterion.

    Raises:
        DenseCLError: fewer than two views.
    """

    name = "vicreg"

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        num_views: int = 2,
    ) -> None:
        super().__init__()
        if num_views < 2:
            raise DenseCLError(f"VICReg: num_views={num_views}; it compares two views at least.")
        self.online_views = tuple(range(num_views))
        self.weights = invariance_weight, variance_weight, covariance_weight
        self.head: nn.Module = HEADS.build(dict(head, in_channels=in_channels[-1]))

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the weighted sum; see ``dense_cl.losses.vicreg``."""
        projections = [self.head(features.online[v].pooled) for v in self.online_views]
        sizes = gather_sizes(len(projections[0]), projections[0].device)
        terms = vicreg(*(gather_with_gradient(z, sizes) for z in projections))
        invariance, variance, covariance = (
            weight * term for weight, term in zip(self.weights, terms, strict=True)
        )
        diagnostics = {name: term.detach() for name, term in terms._asdict().items()}
        return ObjectiveOutput(invariance + variance + covariance, diagnostics)
