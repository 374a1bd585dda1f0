"""Methods as objectives; importing the package registers them."""

from dense_cl.objectives.base import Objective
from dense_cl.objectives.image.info_nce import InfoNCE
from dense_cl.objectives.pixel.dense_info_nce import DenseInfoNCE

__all__ = ["DenseInfoNCE", "InfoNCE", "Objective"]
