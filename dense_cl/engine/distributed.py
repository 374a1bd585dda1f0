"""The Learner in several processes."""

import os
from collections.abc import Mapping
from typing import Any

from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor

from dense_cl.models.learner import Learner
from dense_cl.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class DistributedLearner(MMDistributedDataParallel):
    """DistributedDataParallel that also does what follows an optimiser step.

    Buffers are not broadcast at every step: the banks are equal on all ranks by construction
    (they gather the keys), and sending them would cost more than the gradients.

    Args:
        module: the learner, on its device.
        **kwargs: of ``torch.nn.parallel.DistributedDataParallel``.
    """

    module: Learner

    def __init__(self, module: Learner, **kwargs: Any) -> None:
        on_gpu = next(module.parameters()).is_cuda
        device_ids = [int(os.environ["LOCAL_RANK"])] if on_gpu else None
        super().__init__(
            module=module, **{"device_ids": device_ids, "broadcast_buffers": False, **kwargs}
        )

    def train_step(self, data: Mapping[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """MMEngine's training step, then ``Learner.after_train_step``."""
        log_vars = super().train_step(data, optim_wrapper)
        self.module.after_train_step(optim_wrapper.should_update())
        return log_vars
