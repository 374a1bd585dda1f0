"""Build any registered backbone and make sure that its shape is known."""

import logging
from collections.abc import Mapping
from typing import Any, cast

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.registry import MODELS

_PROBE = 64  # pixels; every common stride divides it


class Backbone(nn.Module):
    """What every backbone has, whoever wrote it.

    Attributes:
        out_channels: channels of the stage maps that forward returns, shallow to deep.
        strides: image pixels per cell of those maps.
        stage_names: the modules that they come from, such as 'layer4'; empty where not known.
        class_token: the vector of an image is a class token instead of the average of the last
            map; ``forward(image, with_token=True)`` returns it behind the maps.
    """

    out_channels: tuple[int, ...]
    strides: tuple[int, ...]
    stage_names: tuple[str, ...] = ()
    class_token: bool = False


def build_backbone(cfg: Mapping[str, Any]) -> Backbone:
    """Return the backbone that ``cfg`` names.

    Args:
        cfg: ``dict(type=..., ...)``. 'ResNet' and 'TimmBackbone' are ours; 'mmdet.X' is
            MMDetection's X, for which compiled mmcv operators are replaced if missing. Its batch
            norm is trained (``norm_eval=False``) unless ``cfg`` says otherwise.

    Returns:
        A module whose forward maps (B, 3, H, W) to a tuple of stage maps. ``out_channels`` and
        ``strides`` are found by running it on a blank image if it has none.

    Raises:
        DenseCLError: no such type or option, or it does not return a tuple of feature maps.
    """
    if str(cfg.get("type", "")).startswith("mmdet."):
        # Imported only here: models otherwise know nothing of the hand-off.
        from dense_cl.transfer.mmdet_setup import import_mmdet

        import_mmdet()
    try:
        # Without a scope, a Runner of MMDetection in this process would make 'ResNet' its own.
        backbone = cast(Backbone, MODELS.build({"_scope_": "dense_cl", **cfg}))
    except KeyError as error:
        raise DenseCLError(f"backbone {dict(cfg)}: {error.args[0]}") from error
    except TypeError as error:  # an option that it does not have
        raise DenseCLError(f"backbone {dict(cfg)}: {error}") from error
    if isinstance(backbone, BaseModule):
        _initialise(backbone)
    if getattr(backbone, "norm_eval", False) and "norm_eval" not in cfg:
        # MMDetection's default, for pretrained weights: random ones would never get statistics.
        backbone.norm_eval = False  # type: ignore[assignment]
    if not (hasattr(backbone, "out_channels") and hasattr(backbone, "strides")):
        _probe(backbone)
    if not hasattr(backbone, "class_token"):
        backbone.class_token = False
    if not hasattr(backbone, "stage_names"):
        # MMDetection's ResNets list all their stages, and those that they return.
        found: Any = backbone
        layers = getattr(found, "res_layers", ())
        backbone.stage_names = tuple(layers[i] for i in found.out_indices) if layers else ()
    return backbone


def image_vectors(backbone: nn.Module, image_BCHW: Tensor) -> Tensor:
    """Return one vector per image, (B, C), as the pretraining saw it.

    That is the class token of a backbone with ``class_token``, else the average of the last map.
    """
    if getattr(backbone, "class_token", False):
        return backbone(image_BCHW, with_token=True)[-1]
    return backbone(image_BCHW)[-1].mean(dim=(2, 3))


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _initialise(backbone: BaseModule) -> None:
    """Draw MMDetection's weights now, once: a target network is a copy, made before training."""
    logger = MMLogger.get_current_instance()
    logger.addFilter(_nothing)  # it lists every parameter
    try:
        backbone.init_weights()
    finally:
        logger.removeFilter(_nothing)
    backbone.is_init = True  # which some of them do not say


@torch.no_grad()
def _probe(backbone: Backbone) -> None:
    """Set ``out_channels`` and ``strides`` from what a blank image gives."""
    training = backbone.training
    backbone.eval()  # not chained: MMDetection's train() returns nothing
    maps = backbone(torch.zeros(1, 3, _PROBE, _PROBE))
    backbone.train(training)
    if not isinstance(maps, tuple | list) or any(stage.dim() != 4 for stage in maps):
        raise DenseCLError(
            f"backbone {type(backbone).__name__} does not return a tuple of feature maps"
            " (B, C, H, W); choose its out_indices or features_only option accordingly."
        )
    backbone.out_channels = tuple(stage.shape[1] for stage in maps)
    backbone.strides = tuple(_PROBE // stage.shape[-1] for stage in maps)
