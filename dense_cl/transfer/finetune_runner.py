"""MMEngine's Runner for fine-tuning: quieter, with or without a GPU, and safe to resume."""

from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.visualization import Visualizer
from torch import nn

from dense_cl.engine.launch import init_distributed
from dense_cl.engine.state import versions
from dense_cl.errors import DenseCLError
from dense_cl.transfer.freeze import freeze_backbone
from dense_cl.transfer.weights_file import read_checkpoint

_CHATTER = (
    "Hooks will be executed",
    "Distributed training is not used",
    "Exp name:",
    "paramwise_options",
    "init_weights of",
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)


class FinetuneRunner(Runner):
    """Runner of an MMDetection config; ``freeze_backbone=True`` in it trains the rest only."""

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Join the process group, on GPUs or not, and do the rest as MMEngine does."""
        if self.distributed and not is_distributed():
            init_distributed(self._launcher, **env_cfg.get("dist_cfg", {}))
        super().setup_env(env_cfg)

    def build_logger(self, log_level: int | str = "INFO", **kwargs: Any) -> MMLogger:
        """Build MMEngine's logger without the lines that say nothing to a reader."""
        logger = super().build_logger(log_level=log_level, **kwargs)
        logger.addFilter(lambda record: not str(record.msg).startswith(_CHATTER))
        return logger

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Log what decides speed and results; the config is a file in the work folder."""
        found = " ".join(f"{name} {version}" for name, version in versions().items())
        self.logger.info(
            f"{found} | {get_device()}, {self.world_size} process(es), "
            f"{torch.get_num_threads()} thread(s), seed {self.seed}"
        )

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Build one per run: MMEngine would return an earlier one of the same name."""
        if isinstance(visualizer, dict):
            visualizer = {key: value for key, value in visualizer.items() if key != "name"}
        return super().build_visualizer(visualizer)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes; MMEngine would put it on a GPU by its rank."""
        if self.cfg.get("freeze_backbone"):
            freeze_backbone(model)
        if not self.distributed or model_wrapper_cfg or torch.cuda.is_available():
            return super().wrap_model(model_wrapper_cfg, model)
        unused = self.cfg.get("find_unused_parameters", False)
        return MMDistributedDataParallel(
            model, broadcast_buffers=False, find_unused_parameters=unused
        )

    def load_or_resume(self) -> None:
        """Resume from the work folder's latest checkpoint, once it is known to hold data only.

        MMEngine falls back to full unpickling when the safe way fails; it never gets there.
        """
        if self._resume:
            latest = find_latest_checkpoint(self.work_dir)
            if latest is None:
                raise DenseCLError(f"--resume: there is no checkpoint in '{self.work_dir}'.")
            read_checkpoint(Path(latest))
        super().load_or_resume()
