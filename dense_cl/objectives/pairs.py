"""Objectives that compare a query with a key: the score of a pair is known to others as well."""

import torch
from torch import Tensor

from dense_cl.losses.info_nce import unit
from dense_cl.models.features import ViewFeatures
from dense_cl.objectives.base import Objective


class PairObjective(Objective):
    """Compares two views of an image by the cosine of two vectors."""

    def query(self, view: ViewFeatures) -> Tensor:
        """Return the raw vectors, (B, D), of the view that is told from others, with gradients."""
        raise NotImplementedError

    def key(self, view: ViewFeatures) -> Tensor:
        """Return the raw vectors, (B, D), of the other view; here they are made as a query's."""
        return self.query(view)

    def score(self, query: ViewFeatures, key: ViewFeatures) -> Tensor:
        """Return the cosine of every pair, (B,), in float32 at least; no gradient to the keys."""
        query_BD = self.query(query)
        with torch.no_grad():
            key_BD = self.key(key)
        return (unit(query_BD) * unit(key_BD)).sum(dim=1)
