"""Any timm model as a backbone, for pretraining here and for fine-tuning in MMDetection."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.errors import DenseCLError, nearest
from dense_cl.models.norm import SyncBatchNorm2d
from dense_cl.registry import MODELS

_PYRAMID_STRIDES = (4, 8, 16, 32)


@MODELS.register_module()
class TimmBackbone(nn.Module):
    """A timm model that returns the feature maps of its levels.

    The maps come from timm's ``forward_intermediates``, which keeps the model's own parameter
    names (``features_only`` renames those of many architectures), so exported weights load in
    ``timm.create_model(model_name, num_classes=0)`` but for layers behind the last map. Those
    layers are removed here: they would never receive a gradient. With ``class_token`` nothing is
    removed but the classifier.

    In an MMDetection config: ``backbone=dict(type='dense_cl.TimmBackbone', model_name=...)`` with
    ``custom_imports = dict(imports=['dense_cl.models'])``; ``dense-cl finetune`` needs no import.

    Args:
        model_name: timm's name, such as ``'resnet10t'`` or ``'vit_small_patch16_224'``.
        out_indices: levels to return, negative ones counted from the end; by default the last four.
        pretrained: start from timm's published weights (timm downloads them).
        pyramid: resample the maps to strides 4, 8, 16 and 32 without any parameters, for models
            whose maps all have one stride (plain vision transformers) under a feature pyramid.
        class_token: represent an image by the class token behind the model's final norm, which
            then applies to the last map too. For vision transformers that have one; None for "if
            it is a ViT or EVA whose own classifier looks at it".
        sync_bn: synchronise batch norm over processes.
        **kwargs: for ``timm.create_model`` (``img_size``, ``drop_path_rate``, ...). Models that can
            take images of varying size are built so.

    Attributes:
        unused_weights: keys of what was removed, which files of the whole model have.
        out_channels: channels of the returned maps.
        strides: pixels per cell of the returned maps.
        stage_names: timm's names of the modules that they come from.

    Raises:
        DenseCLError: unknown model, option or level; in ``forward``, a size it cannot take.
    """

    weights_prefix = "model."  # what exported keys are relieved of

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] | None = None,
        pretrained: bool = False,
        pyramid: bool = False,
        class_token: bool | None = False,
        sync_bn: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        # Any: torch's stubs take every attribute of a module for a tensor.
        model: Any = _create(model_name, pretrained, kwargs)
        self.model, self.model_name = model, model_name
        if sync_bn:
            _synchronize_batch_norm(model)
        levels = len(model.feature_info)
        wanted = range(-min(4, levels), 0) if out_indices is None else out_indices
        if not all(-levels <= index < levels for index in wanted):
            raise DenseCLError(
                f"timm model '{model_name}' has {levels} levels; out_indices {list(wanted)} are not"
                f" all between {-levels} and {levels - 1}."
            )
        indices = sorted({index % levels for index in wanted})
        whole = frozenset(model.state_dict())
        if class_token is None:
            class_token = _looks_at_class_token(model) and indices[-1] == levels - 1
        self.class_token = class_token
        if class_token and (getattr(model, "cls_token", None) is None or indices[-1] < levels - 1):
            raise DenseCLError(
                f"class_token=True needs a model with a class token and its last level; timm model"
                f" '{model_name}' with out_indices {list(wanted)} does not give both."
            )
        self.out_indices = tuple(
            model.prune_intermediate_layers(indices, prune_norm=not class_token, prune_head=True)
        )
        if class_token and getattr(model, "cls_token", None) is None:
            raise DenseCLError(
                f"class_token=True is not for timm model '{model_name}': its class token comes in"
                " behind the last map."
            )
        self.unused_weights = whole - model.state_dict().keys()
        infos = [model.feature_info[index] for index in indices]
        self.out_channels = tuple(int(info["num_chs"]) for info in infos)
        self.strides = tuple(int(info["reduction"]) for info in infos)
        self.stage_names = tuple(str(info["module"]) for info in infos)
        self.pyramid = pyramid
        if pyramid:
            if len(indices) != len(_PYRAMID_STRIDES):
                raise DenseCLError(
                    f"pyramid=True needs four levels, out_indices has {len(indices)}."
                )
            self.strides = _PYRAMID_STRIDES

    def forward(self, image_BCHW: Tensor, with_token: bool = False) -> tuple[Tensor, ...]:
        """Return the maps (B, C, H, W) of the chosen levels, shallow to deep.

        Args:
            image_BCHW: normalised images.
            with_token: add the class token, (B, C), behind them; needs ``class_token``.
        """
        model: Any = self.model
        try:
            output = model.forward_intermediates(
                image_BCHW,
                indices=list(self.out_indices),
                norm=False,
                output_fmt="NCHW",
                intermediates_only=not self.class_token,
            )
        except AssertionError as error:  # what timm says of sizes a model cannot take
            height, width = image_BCHW.shape[-2:]
            raise DenseCLError(
                f"timm model '{self.model_name}' refuses images of {height}x{width} pixels:"
                f" {error} Choose another size (--size), or give the model its img_size."
            ) from None
        maps = output
        token: tuple[Tensor, ...] = ()
        if self.class_token:
            final_BNC, maps = output  # all tokens, normalised
            patches_BCN = final_BNC[:, model.num_prefix_tokens :].transpose(1, 2)
            maps[-1] = patches_BCN.reshape(maps[-1].shape)
            token = (final_BNC[:, 0],)
        if self.pyramid:
            height, width = image_BCHW.shape[-2:]
            sizes = [(-(-height // stride), -(-width // stride)) for stride in self.strides]
            maps = [_resample(m, size) for m, size in zip(maps, sizes, strict=True)]
        return (*maps, *token) if with_token else tuple(maps)


def _looks_at_class_token(model: nn.Module) -> bool:
    """Tell whether a timm model's classifier does, and forward_intermediates gives the token."""
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    return isinstance(model, Eva | VisionTransformer) and model.global_pool == "token"


class _SyncBatchNormAct2d(SyncBatchNorm2d):
    """``SyncBatchNorm2d`` with what timm's batch norm may hold besides: dropout and activation."""

    def __init__(self, plain: nn.BatchNorm2d) -> None:
        super().__init__(plain.num_features, plain.eps, plain.momentum)
        self.load_state_dict(plain.state_dict())
        self.drop: nn.Module = getattr(plain, "drop", nn.Identity())
        self.act: nn.Module = getattr(plain, "act", nn.Identity())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise over all ranks, and do the rest."""
        return self.act(self.drop(super().forward(x_BCHW)))


def _synchronize_batch_norm(module: nn.Module) -> None:
    """Replace every ``BatchNorm2d`` inside ``module``, timm's included, with its state."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _SyncBatchNormAct2d(child))
        else:
            _synchronize_batch_norm(child)


def _resample(stage: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge bilinearly, or shrink by averaging."""
    if size[0] < stage.shape[-2]:
        return F.adaptive_avg_pool2d(stage, size)
    return F.interpolate(stage, size=size, mode="bilinear", align_corners=False)


def _create(model_name: str, pretrained: bool, kwargs: dict[str, Any]) -> nn.Module:
    """Return the timm model without classifier, for varying image sizes where it can."""
    import timm

    base_name = model_name.split(".")[0]
    if base_name not in timm.list_models():
        raise DenseCLError(
            f"timm {timm.__version__} has no model '{model_name}'."
            f"{nearest(base_name, timm.list_models())}"
        )
    # Each family names the option for varying sizes differently, and most have none.
    for flexible in ({"dynamic_img_size": True}, {"strict_img_size": False}, {}):
        try:
            model = timm.create_model(
                model_name, pretrained=pretrained, num_classes=0, **{**flexible, **kwargs}
            )
            break
        except RuntimeError as error:
            if "pretrained tag" not in str(error):
                raise
            tags = timm.list_pretrained(f"{base_name}.*")
            raise DenseCLError(
                f"timm model '{model_name}': {error}{nearest(model_name, tags)}"
            ) from error
        except TypeError as error:
            if not flexible:
                raise DenseCLError(
                    f"timm model '{model_name}' refuses {kwargs}: {error}."
                ) from error
    if not hasattr(model, "forward_intermediates"):
        raise DenseCLError(
            f"timm model '{model_name}' does not return feature maps (no forward_intermediates)."
        )
    return model
