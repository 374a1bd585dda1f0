"""DenseCL: tell the corresponding location of the other view from a queue of other images."""

from collections.abc import Mapping
from typing import Any

from dense_cl.errors import DenseCLError
from dense_cl.losses.dense_info_nce import dense_info_nce
from dense_cl.losses.info_nce import unit
from dense_cl.models.distributed import rescale_mean
from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.objectives.queue import QueueObjective
from dense_cl.registry import CORRESPONDENCES, OBJECTIVES


@OBJECTIVES.register_module()
class DenseInfoNCE(QueueObjective):
    """Location-level contrast of DenseCL.

    Wang et al., arXiv 2011.09157; WXinlong/DenseCL ``openselfsup/models/densecl.py``. Backbone
    features say which locations correspond, projections are contrasted. The queue takes one
    key per image: the spatial mean of the raw dense key, L2-normalised after averaging (as
    released; the paper only says "global average pooled").

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a dense projection head (HEADS registry).
        correspondence: config of a provider (CORRESPONDENCES registry).
        queue_size: number of negatives, K.
        temperature: T > 0.

    Raises:
        DenseCLError: a provider that does not give single partners.
    """

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        correspondence: Mapping[str, Any] | None = None,
        queue_size: int = 65536,
        temperature: float = 0.2,
    ) -> None:
        super().__init__(in_channels, head, queue_size, temperature)
        provider = dict(correspondence or {"type": "FeatureArgmax"})
        self.correspondence = CORRESPONDENCES.build(provider)
        if self.correspondence.soft:
            raise DenseCLError(
                "DenseInfoNCE has one positive for every location, but correspondence"
                f" {provider['type']} gives any number: take one that gives single partners, such"
                " as GeometricNearest, or the objective PixContrast."
            )

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss, a mean over the matched locations of all processes.

        See ``dense_cl.losses.dense_info_nce``.
        """
        query, key = features.online[0], features.target[1]
        query_BDHW = self.head(query.last)
        key_BDHW = self.target_head(key.last)
        match = self.correspondence(query, key, query_BDHW.shape[2:], key_BDHW.shape[2:])
        terms = dense_info_nce(
            query_BDHW.flatten(2),
            key_BDHW.flatten(2),
            match.indices_BS,
            self.bank.keys,
            self.temperature,
            match.valid_BS,
        )
        if match.valid_BS is not None:
            terms = terms._replace(loss=rescale_mean(terms.loss, match.valid_BS.sum()))
        output = self.finish(terms, unit(key_BDHW.mean(dim=(2, 3))))
        if match.valid_BS is not None:
            output.diagnostics["matched"] = match.valid_BS.float().mean()
        return output
