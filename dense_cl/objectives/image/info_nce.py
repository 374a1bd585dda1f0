"""MoCo: tell the other view of an image from a queue of other images."""

from torch import Tensor

from dense_cl.losses.info_nce import info_nce, unit
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.objectives.pairs import PairObjective
from dense_cl.objectives.queue import QueueObjective
from dense_cl.registry import OBJECTIVES


@OBJECTIVES.register_module()
class InfoNCE(QueueObjective, PairObjective):
    """Image-level contrast of MoCo v1 (``MLPHead(num_layers=1)``, T = 0.07) and v2.

    He et al., arXiv 1911.05722 and 2003.04297; facebookresearch/moco ``moco/builder.py``. The
    loss sees the queue as it was before this batch's keys.
    """

    def query(self, view: ViewFeatures) -> Tensor:
        """Return the projections."""
        return self.head(view.pooled)

    def key(self, view: ViewFeatures) -> Tensor:
        """Return the EMA projections."""
        return self.target_head(view.pooled)

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.info_nce``."""
        query_BD = self.query(features.online[0])
        key_BD = self.key(features.target[1])
        terms = info_nce(query_BD, key_BD, self.bank.keys, self.temperature)
        return self.finish(terms, unit(key_BD))
