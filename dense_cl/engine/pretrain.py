"""``dense_cl.pretrain``: one recipe, start to finish, from Python or the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process

from dense_cl.engine.amp import apply_amp
from dense_cl.engine.config import apply_options, load_config
from dense_cl.engine.config_check import check_config
from dense_cl.engine.lock import alone_in
from dense_cl.engine.runner import PretrainRunner
from dense_cl.engine.signals import StopSignals
from dense_cl.paths import check_folder
from dense_cl.transfer.export import export_backbone
from dense_cl.transfer.mmdet_setup import scope_kept


@dataclass(frozen=True)
class PretrainResult:
    """Where a finished run left its results.

    Attributes:
        work_dir: the run's folder.
        checkpoint: state at the end, for ``--resume`` and ``dense-cl export``.
        backbone: the exported backbone, for ``load_backbone`` and ``finetune``; a
            ``backbone.safetensors`` of the same content lies beside it.
    """

    work_dir: Path
    checkpoint: Path
    backbone: Path


def pretrain(
    config: str | Path | Config,
    data: str | Path | None = None,
    annotations: str | Path | None = None,
    work_dir: str | Path | None = None,
    resume: bool | str | Path | None = None,
    amp: bool | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = "none",
) -> PretrainResult:
    """Pretrain a backbone on unlabelled images and export it.

    Args:
        config: recipe: a path, the name of a packaged one, or a ``Config``.
        data: images instead of the recipe's: a folder, a COCO ``.json``, a ``.txt`` list or
            WebDataset shards.
        annotations: COCO JSON that says which images of the folder ``data`` to use.
        work_dir: where everything is written; ``work_dirs/<recipe>`` by default.
        resume: 'auto' (the latest checkpoint of ``work_dir``, if any) or a checkpoint.
        amp: mixed precision; None for "where the hardware has it".
        cfg_options: changes to the recipe, {"dotted.key": value}.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        DenseCLError: anything wrong in the input, before training where it can be known.
        TrainingStopped: SIGTERM or SIGINT; the state has been saved.
    """
    options = dict(cfg_options or {})
    cfg = load_config(config)
    apply_options(cfg, data, annotations, work_dir, resume, amp, options, launcher)
    check_config(cfg)
    check_folder(cfg.work_dir)
    cfg.optim_wrapper = apply_amp(cfg.optim_wrapper.to_dict(), cfg.get("amp"))
    with scope_kept(), alone_in(cfg.work_dir, cfg.get("launcher", "none")):
        runner = PretrainRunner.from_cfg(cfg)
        with StopSignals() as runner.signals:
            runner.train()
    checkpoint = runner.last_checkpoint
    assert checkpoint is not None, "a finished run has been saved"
    backbone = runner.work_path / "backbone.pth"
    if is_main_process():
        export_backbone(checkpoint, backbone)
        runner.logger.info(f"backbone exported to {backbone}")
    barrier()  # so that the file is there, whichever rank goes on with it
    return PretrainResult(runner.work_path, checkpoint, backbone)
