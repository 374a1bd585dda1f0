"""alpha-ReQ: how fast the variance of features decays over their principal components."""

import torch
from torch import Tensor


def alpha_req(spectrum_K: Tensor, start: int = 5, stop: int = 100) -> Tensor:
    r"""Return the exponent of the power law :math:`\lambda_j \propto j^{-\alpha}`.

    The slope of log eigenvalue against log rank j (from 1), by least squares with weights 1/j:
    Agrawal et al., NeurIPS 2022, whose weights and default range are in arnab39/reptrix
    ``reptrix/alpha.py``. Large: few directions carry all; near 0: all carry the same, noise
    included.

    Args:
        spectrum_K: (K,) eigenvalues of the covariance of the features, largest first, as
            ``covariance_spectrum`` gives them (their scale does not matter).
        start: first index (from 0) of the fit; the first few do not follow the law.
        stop: index after the last one of the fit. Fewer eigenvalues, or eigenvalues that are 0 in
            floating point, end it earlier.

    Returns:
        Scalar; NaN if fewer than three eigenvalues are left to fit.
    """
    spectrum = spectrum_K.detach()
    floor = spectrum.max() * len(spectrum) * torch.finfo(spectrum.dtype).eps
    stop = min(stop, int((spectrum > floor).sum()))
    if stop - start < 3:
        return spectrum.new_tensor(float("nan"))
    rank = torch.arange(start + 1, stop + 1, dtype=spectrum.dtype, device=spectrum.device)
    x, y, weight = rank.log(), spectrum[start:stop].log(), 1 / rank
    weight = weight / weight.sum()
    x = x - (weight * x).sum()
    return -(weight * x * y).sum() / (weight * x.square()).sum()
