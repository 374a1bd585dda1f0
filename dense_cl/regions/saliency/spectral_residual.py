"""What a spectrum has beyond the usual."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.provider import require
from dense_cl.regions.saliency.provider import SaliencyProvider, stretched
from dense_cl.registry import REGIONS


@REGIONS.register_module()
@dataclass(frozen=True)
class SpectralResidual(SaliencyProvider):
    """Small and unusual spots: the log spectrum less its local average, back in the image.

    Hou and Zhang, "Saliency detection: a spectral residual approach", CVPR 2007, on a grey image.
    The constants are those of the authors' code as zhenglab/SpectralSaliency ``Models/SR/SR.m``
    holds it: 64 columns, a 3 x 3 average, then a Gaussian of 2.5 cut to 10 pixels (here 11, which
    has a centre). The paper smooths more (sigma 8) and makes the shorter side 64 pixels.

    Attributes:
        width: columns that the image is resized to.
        sigma: of the Gaussian that smooths the map, in pixels of it.
    """

    width: int = 64
    sigma: float = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.width > 2 and self.sigma > 0, self, "width is above 2 and sigma above 0")

    def saliency(self, image: NDArray[np.uint8], index: int) -> NDArray[np.float32]:
        """Return a map of ``width`` columns."""
        rows = max(1, round(image.shape[0] * self.width / image.shape[1]))
        height = max(3, rows)  # of the spectrum, which is averaged over 3
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (self.width, height), interpolation=cv2.INTER_AREA)
        if small.min() == small.max():  # the residual of rounding errors
            return np.zeros(small.shape, dtype=np.float32)
        spectrum = np.fft.fft2(small / 255.0)
        # A frequency that the image has nothing of has no logarithm; it stays without weight.
        amplitude = np.abs(spectrum)
        log_amplitude = np.log(np.maximum(amplitude, 1e-12))
        residual = log_amplitude - cv2.blur(log_amplitude, (3, 3), borderType=cv2.BORDER_REPLICATE)
        phase = spectrum / np.maximum(amplitude, 1e-12)
        back = np.abs(np.fft.ifft2(np.exp(residual) * phase)) ** 2
        smooth = cv2.GaussianBlur(back, (11, 11), self.sigma, borderType=cv2.BORDER_CONSTANT)
        if rows < height:
            smooth = cv2.resize(smooth, (self.width, rows), interpolation=cv2.INTER_AREA)
        return stretched(np.asarray(smooth, dtype=np.float64))
