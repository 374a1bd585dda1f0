"""Train what is around a backbone, and leave the backbone as it came."""

from torch import nn

from dense_cl.transfer.detector import SHARED_HEAD


def freeze_backbone(detector: nn.Module) -> None:
    """Keep the weights and statistics of a detector's backbone for good.

    They get no gradients, and norm layers use their running statistics, whatever mode the detector
    is put into. In C4 detectors that holds for the stage in the RoI head too. Call it before the
    detector is wrapped for several processes.

    Args:
        detector: of MMDetection.
    """
    modules = dict(detector.named_modules())
    parts = [modules["backbone"]]
    if SHARED_HEAD in modules:
        # Its stage alone; a norm layer behind it is new and has to learn.
        parts += [m for n, m in modules[SHARED_HEAD].named_children() if n.startswith("layer")]
    for part in parts:
        part.requires_grad_(False)
        part.register_forward_pre_hook(_evaluate)


def _evaluate(module: nn.Module, inputs: object) -> None:
    module.eval()
