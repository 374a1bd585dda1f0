"""MMEngine's Runner for fine-tuning: quieter, with or without a GPU, and safe to resume."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.device import get_device
from mmengine.dist import is_distributed, master_only
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.visualization import Visualizer
from torch import nn

from dense_cl.engine.config import dump_recipe
from dense_cl.engine.launch import init_distributed
from dense_cl.engine.state import check_same_run, flatten, versions
from dense_cl.errors import DenseCLError
from dense_cl.transfer.detector import load_detector_weights
from dense_cl.transfer.freeze import freeze_backbone
from dense_cl.transfer.hooks import LoadBackbone
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
_DECISIVE = ("model", "optim_wrapper", "randomness", "freeze_backbone", "training_data")


class FinetuneRunner(Runner):
    """Runner of an MMDetection or MMSegmentation config.

    ``freeze_backbone=True`` in the config trains the rest only. ``training_data`` says what it is
    trained on; a checkpoint of other data is not resumed.
    """

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

    def dump_config(self) -> None:
        """Leave the recipe of an earlier run where it is, until it is known to go on."""

    @master_only
    def _write_config(self) -> None:
        """Write the recipe as it is run to ``<work_dir>/config.py``."""
        dump_recipe(self.cfg, self.work_dir)

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

    def start_from(self, file: Path | None, backbone_only: bool = False) -> list[str]:
        """Train from the weights of a file, or from random ones.

        Args:
            file: with a backbone; None for random weights.
            backbone_only: leave out other parts of a detector that the file brings.

        Returns:
            The parts of the model that are pretrained.

        Raises:
            DenseCLError: the file does not match the model completely.
        """
        # Length and schedule may change: a run may be made longer.
        self._decisive = {
            "backbone": hashlib.sha256(file.read_bytes()).hexdigest() if file else "random",
            "backbone_only": backbone_only,
            **flatten(self.cfg, _DECISIVE),
        }
        if file is None:
            self.logger.info("backbone: random initialisation")
            return []
        # Once here, so that a wrong file is known before the data are read; again after the
        # initialisation of the weights, which MMEngine does last.
        model = self.model.module if is_model_wrapper(self.model) else self.model
        reports = load_detector_weights(model, file, backbone_only)
        for part, report in reports.items():
            self.logger.info(f"{part} {file}: {report}")
        self.register_hook(LoadBackbone(str(file), backbone_only))
        return list(reports)

    def save_checkpoint(
        self, *args: Any, meta: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Save a checkpoint that says what decided its weights."""
        super().save_checkpoint(*args, meta=(meta or {}) | {"decisive": self._decisive}, **kwargs)

    def load_or_resume(self) -> None:
        """Resume from the work folder's latest checkpoint, once it is known to hold data only.

        MMEngine falls back to full unpickling when the safe way fails; it never gets there.

        Raises:
            DenseCLError: there is none, or it is of another backbone, seed, model or data.
        """
        if self._resume:
            latest = _latest_checkpoint(Path(self.work_dir))
            if latest is None:
                raise DenseCLError(f"--resume: there is no checkpoint in '{self.work_dir}'.")
            meta = read_checkpoint(latest).get("meta", {})
            check_same_run(meta.get("decisive", {}), self._decisive, str(latest))
            self._load_from = str(latest)
        super().load_or_resume()
        self._write_config()


@contextmanager
def finishing(runner: Runner) -> Iterator[None]:
    """End the processes that read images for a run with it, and say which they cannot read.

    MMEngine would leave them to the garbage collector, which meets them in any order.

    Raises:
        DenseCLError: an image that is there is none.
    """
    try:
        yield
    except (AssertionError, cv2.error) as error:  # of MMCV, raised again by the loader
        # Of a reader's process comes the whole traceback, with the message last.
        *_, found = [None, *re.findall(r"failed to load image: (.+)", str(error))]
        if not found and "imdecode" not in str(error):
            raise
        named = f"image '{found.strip()}'" if found else "an image, which is empty,"
        raise DenseCLError(f"{named} cannot be read. Repair it, or take it out.") from None
    finally:
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            for holder in (getattr(loop, n, None) for n in ("dataloader", "dataloader_iterator")):
                iterator: Any = getattr(holder, "_iterator", None)
                if hasattr(iterator, "_shutdown_workers"):
                    iterator._shutdown_workers()
                    holder._iterator = None  # type: ignore[union-attr]


def _latest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that ``last_checkpoint`` names, also in a folder that was moved.

    Where a kill left nothing in that file, it is the newest one.
    """
    named = find_latest_checkpoint(str(folder))
    files = [*folder.glob("iter_*.pth"), *folder.glob("epoch_*.pth")]
    files.sort(key=lambda file: file.stat().st_mtime)
    if named:
        files += [Path(named), folder / Path(named).name]
    return next((file for file in reversed(files) if file.is_file()), None)
