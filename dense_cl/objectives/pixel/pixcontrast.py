"""PixContrast: contrast among the locations of an image, matched by their distance in it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dense_cl.errors import check_positive
from dense_cl.losses.pixel_contrast import pixel_contrast
from dense_cl.objectives.pixel.pixel_pairs import PixelPairs
from dense_cl.registry import OBJECTIVES


@OBJECTIVES.register_module()
class PixContrast(PixelPairs):
    """A location's positives are near it in the image; its negatives are the others of the view.

    Xie et al., arXiv 2011.10043, section 3.1, the first of the paper's two methods; the authors
    released the second only. Two views of an image are compared both ways, the sum of
    two means.

    Args:
        in_channels, head, correspondence, stage: see ``PixelPairs``.
        temperature: τ of ``dense_cl.losses.pixel_contrast``.

    Raises:
        DenseCLError: no positive temperature, or no such stage.
    """

    name = "pixcontrast"

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        correspondence: Mapping[str, Any] | None = None,
        temperature: float = 0.3,
        stage: int = -1,
    ) -> None:
        super().__init__(in_channels, head, correspondence, stage)
        check_positive("PixContrast", temperature=temperature)
        self.temperature = temperature

    def compare(self, query_BDS: Tensor, key_BDT: Tensor, weights_BST: Tensor) -> Tensor:
        """See ``dense_cl.losses.pixel_contrast``; every pair with a weight is a positive."""
        return pixel_contrast(query_BDS, key_BDT, weights_BST > 0, self.temperature)
