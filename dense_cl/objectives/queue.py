"""What objectives with one head, its EMA copy and a queue of keys have in common."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from dense_cl.errors import check_positive
from dense_cl.losses.info_nce import InfoNCETerms
from dense_cl.models.features import ObjectiveOutput
from dense_cl.models.memory_bank import MemoryBank
from dense_cl.models.target import TargetNetwork
from dense_cl.objectives.base import Objective
from dense_cl.registry import HEADS


class QueueObjective(Objective):
    """Contrasts view 0 with view 1 against a queue of earlier keys.

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a projection head (HEADS registry).
        queue_size: number of negatives, K.
        temperature: T > 0.
    """

    target_views = (1,)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        queue_size: int = 65536,
        temperature: float = 0.2,
    ) -> None:
        super().__init__()
        check_positive(type(self).__name__, temperature=temperature)
        self.temperature = temperature
        self.num_negatives = queue_size
        self.head: nn.Module = HEADS.build(dict(head, in_channels=in_channels[-1]))
        self.target_head = TargetNetwork(self.head)
        self.bank = MemoryBank(queue_size, self.head.out_channels)
        self._new_keys: Tensor | None = None

    def finish(self, terms: InfoNCETerms, new_keys_ND: Tensor) -> ObjectiveOutput:
        """Keep the unit keys for ``after_step`` and name the diagnostics."""
        self._new_keys = new_keys_ND.detach()
        return ObjectiveOutput(
            terms.loss,
            {
                "positive_similarity": terms.positive_similarity,
                "queue_accuracy": terms.queue_accuracy,
                "queue_filled": self.bank.filled_fraction,
            },
        )

    def after_step(self) -> None:
        """Enqueue the keys of the last forward pass."""
        if self._new_keys is not None:
            self.bank.enqueue(self._new_keys)
            self._new_keys = None
