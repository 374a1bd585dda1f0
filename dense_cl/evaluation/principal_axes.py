"""The principal axes of features: where linear classifiers are easily fitted."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError


@dataclass(frozen=True)
class PrincipalAxes:
    """Axes on which features, standardised or not, are not correlated; all float64.

    Attributes:
        mean: (C,) of the features.
        axes: (C, C); features less their mean times its columns are coordinates.
        variance: (C,) along each axis.
    """

    mean: Tensor
    axes: Tensor
    variance: Tensor

    @classmethod
    def of(cls, stage: Tensor, standardise: bool, chunk: int) -> "PrincipalAxes":
        """Measure (N, R, C) features, so many of N at once in float64.

        Raises:
            DenseCLError: features are not finite.
        """
        mean = stage.mean(dim=(0, 1), dtype=torch.float64)
        covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
        for part in stage.split(chunk):
            centred = (part.double() - mean).flatten(0, 1)
            covariance += centred.T @ centred
        covariance /= stage.shape[0] * stage.shape[1]
        if not covariance.isfinite().all():
            raise DenseCLError(
                "features are not finite: the weights of the backbone are broken, or the images "
                "are not what it expects."
            )
        deviation = covariance.diagonal().sqrt()
        scale = torch.ones_like(mean)
        if standardise:
            scale = torch.where(deviation > 1e-6 * deviation.max(), 1 / deviation, 0.0)
        variance, vectors = torch.linalg.eigh(covariance * scale[:, None] * scale)
        return cls(mean, scale[:, None] * vectors, variance.clamp(min=0))

    def project(self, stage: Tensor, chunk: int) -> Tensor:
        """Return the coordinates of (N, R, C) features, same shape."""
        return torch.cat(
            [
                ((part.double() - self.mean) @ self.axes).to(stage.dtype)
                for part in stage.split(chunk)
            ]
        )

    def raw(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weight (K, C) on raw features, and the bias (K,) it brings along."""
        raw = weight @ self.axes.T
        return raw, -(raw @ self.mean)
