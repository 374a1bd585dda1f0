"""Change an MMDetection config to the labels, the backbone and the length of one run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict

from dense_cl.engine.amp import apply_amp
from dense_cl.engine.launch import world_size
from dense_cl.engine.signatures import accepted
from dense_cl.errors import DenseCLError
from dense_cl.models import build_backbone
from dense_cl.transfer.labels import Labels
from dense_cl.transfer.options_check import find_type
from dense_cl.transfer.panoptic_labels import PanopticLabels

FROM_FILE = "FromFile"  # backbone type of a config that takes its architecture from the file
_PYRAMID_STRIDES = (4, 8, 16, 32)
# What says that nothing is frozen, where it is not -1.
_NONE_FROZEN = {"EfficientNet": 0, "mmdet.EfficientNet": 0}


def is_panoptic(cfg: Config) -> bool:
    """Whether things and stuff are segmented together."""
    return "panoptic_fusion_head" in cfg.model


def needs_masks(cfg: Config) -> bool:
    """Whether the detector is trained on instance masks."""
    return bool(cfg.model.get("mask_head") or cfg.model.get("roi_head", {}).get("mask_head"))


def label_paths(cfg: Config, split: str) -> tuple[Path, Path]:
    """Return the JSON and the image folder that a config names for ``train`` or ``val``.

    Raises:
        DenseCLError: the data set is not a ``CocoDataset`` with an annotation file.
    """
    dataset = _dataset(cfg, split)
    root = Path(dataset.get("data_root") or "")
    return root / dataset.ann_file, root / dataset.get("data_prefix", {}).get("img", "")


def set_labels(cfg: Config, split: str, labels: Labels, file: Path) -> None:
    """Point the loader of ``train`` or ``val`` (and its evaluator) to ``labels`` in ``file``."""
    _dataset(cfg, split).update(
        ann_file=str(file.absolute()),
        data_root="",
        data_prefix=dict(img=str(labels.image_root.absolute())),
        metainfo=dict(classes=labels.classes),
    )
    if split == "val":
        cfg.val_evaluator.ann_file = str(file.absolute())
        if cfg.val_evaluator.type == "CocoMetric":  # the same, and keeps the detections
            cfg.val_evaluator.type = "dense_cl.RecordingCocoMetric"
        cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    set_everywhere(cfg.model, "num_classes", len(labels.classes))
    if isinstance(labels, PanopticLabels):
        _set_panoptic(cfg, split, labels)


def _set_panoptic(cfg: Config, split: str, labels: PanopticLabels) -> None:
    """Say which classes are things, where the PNGs are, and do without panopticapi."""
    things = len(labels.things)
    set_everywhere(cfg.model, "num_classes", things)
    set_everywhere(cfg.model, "num_things_classes", things)
    set_everywhere(cfg.model, "num_stuff_classes", len(labels.classes) - things)
    dataset = _dataset(cfg, split)
    dataset.data_prefix.seg = str(labels.segment_root)
    dataset.metainfo.update(thing_classes=labels.things, stuff_classes=labels.classes[things:])
    load = "LoadPanopticAnnotations"
    set_everywhere(dataset.pipeline, "type", f"dense_cl.{load}", old=load)
    if split == "val":
        cfg.val_evaluator = cfg.test_evaluator = dict(
            type="dense_cl.RecordingPanopticMetric",
            ann_file=cfg.val_evaluator.ann_file,
            seg_prefix=str(labels.segment_root),
        )


def set_normalization(cfg: Config, normalization: Mapping[str, Any]) -> None:
    """Normalise images as in pretraining; MMDetection reads them as BGR.

    Args:
        cfg: the config.
        normalization: ``mean`` and ``std`` on the 0-255 scale and ``channel_order``.

    Raises:
        DenseCLError: not three values each, or an unknown channel order.
    """
    mean, std = list(normalization.get("mean", ())), list(normalization.get("std", ()))
    order = normalization.get("channel_order")
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0 or order not in ("RGB", "BGR"):
        raise DenseCLError(
            f"normalisation {dict(normalization)} is not usable: it needs mean and std of three"
            " channels and the channel order RGB or BGR."
        )
    cfg.model.data_preprocessor.update(
        mean=mean, std=std, bgr_to_rgb=order == "RGB", rgb_to_bgr=False
    )


def set_backbone(cfg: Config, architecture: Mapping[str, Any] | None) -> None:
    """Apply the rules for self-supervised weights and fit the pyramid to the backbone.

    Nothing is frozen, norm layers train, and no weights come from elsewhere. A backbone
    ``dict(type='FromFile')`` is replaced by ``architecture``, with its other options on top.

    Args:
        cfg: the config.
        architecture: from the metadata of the weights, if they have any.

    Raises:
        DenseCLError: 'FromFile' without an architecture, or a backbone whose strides do not fit
            the detector's pyramid.
    """
    if cfg.get("load_from"):
        raise DenseCLError("load_from is not for backbones; use --backbone FILE.")
    scope = cfg.get("default_scope", "mmdet")
    backbone = cfg.model.backbone
    if backbone.type == FROM_FILE:
        if architecture is None:
            raise DenseCLError(
                "this config takes its architecture from an exported backbone, and there is none."
                " Name one: --cfg-options model.backbone.type=dense_cl.TimmBackbone"
                " model.backbone.model_name=resnet18"
            )
        chosen = {key: value for key, value in backbone.items() if key != "type"}
        cfg.model.backbone = backbone = ConfigDict({**architecture, **chosen})
        if "." not in backbone.type:
            backbone.type = f"dense_cl.{backbone.type}"
    _drop_supervised(cfg.model)  # also what the file's architecture was made with
    parts = [backbone]
    if "shared_head" in cfg.model.get("roi_head", {}):
        # C4: a stage of the backbone, for which MMDetection would load supervised weights.
        shared_head = cfg.model.roi_head.shared_head
        shared_head.norm_eval = False
        parts.append(shared_head)
    for part in parts:
        # Types with these options freeze unless they are told not to.
        kind = find_type(part.type, scope)
        takes = accepted(kind).types if kind else {}
        rules = ("frozen_stages", _NONE_FROZEN.get(part.type, -1)), ("norm_eval", False)
        part.update({key: value for key, value in rules if key in takes})
        if "style" in part:  # self-supervised ResNets have their strides where torchvision's have
            part.style = "pytorch"
        if "requires_grad" in (part.get("norm_cfg") or {}):
            part.norm_cfg.requires_grad = True
    if cfg.model.get("neck", {}).get("type") == "FPN":
        _fit_pyramid(cfg.model, scope)


def _drop_supervised(node: Any) -> None:
    """Take out of a model, however deep, what would load weights from elsewhere."""
    if isinstance(node, dict):
        node.pop("pretrained", None)
        init = node.get("init_cfg")
        each = init if isinstance(init, list | tuple) else [init]
        if any(isinstance(part, dict) and part.get("type") == "Pretrained" for part in each):
            node["init_cfg"] = None
        node = list(node.values())
    if isinstance(node, list | tuple):
        for item in node:
            _drop_supervised(item)


def set_norm_layers(cfg: Config, distributed: bool) -> None:
    """Synchronise batch norm over GPUs; elsewhere there is nothing, or no way, to synchronise."""
    if distributed and torch.cuda.is_available():
        cfg.sync_bn = "torch"
    else:
        set_everywhere(cfg.model, "type", "BN", old="SyncBN")


def set_amp(cfg: Config, amp: bool | None) -> None:
    """Switch mixed precision on or off; on GPUs the recipe's own choice stands by default."""
    if amp is None and torch.cuda.is_available():
        return
    wrapper = apply_amp(cfg.optim_wrapper.to_dict(), amp)
    if wrapper["type"] == "AutocastOptimWrapper":
        wrapper["type"] = "dense_cl.AutocastOptimWrapper"
    cfg.optim_wrapper = ConfigDict(wrapper)


def set_epochs(cfg: Config, epochs: int, images: int) -> None:
    """Stretch or shrink the schedule to a number of passes over the training images.

    Args:
        cfg: the config; what its schedule counts in the same unit is scaled along.
        epochs: passes.
        images: training images, to convert to iterations (of all processes that the launcher has
            started) where the config counts those.
    """
    if epochs < 1:
        raise DenseCLError(f"--epochs {epochs}: give 1 or more.")
    batch = cfg.train_dataloader.batch_size * world_size(cfg.get("launcher", "none"))
    by_epoch = "max_epochs" in cfg.train_cfg
    set_length(cfg, epochs if by_epoch else epochs * -(-images // batch))


def set_length(cfg: Config, new: int) -> None:
    """Stretch or shrink the schedule to ``new`` epochs or iterations, as the recipe counts."""
    train_cfg = cfg.train_cfg
    by_epoch = "max_epochs" in train_cfg
    key = "max_epochs" if by_epoch else "max_iters"
    old, train_cfg[key] = train_cfg[key], new
    if train_cfg.get("val_interval", 1) == old:
        train_cfg.val_interval = new
    for scheduler in cfg.param_scheduler:
        if scheduler.get("by_epoch", True) != by_epoch:
            continue
        for name in ("begin", "end", "T_max", "milestones"):
            if name in scheduler:
                scheduler[name] = _scaled(scheduler[name], new / old)
        if "end" in scheduler:  # a warm-up that rounds to nothing
            scheduler.end = max(scheduler.end, scheduler.get("begin", 0) + 1)


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, list | tuple):
        return [_scaled(item, factor) for item in value]
    return round(value * factor)


def _dataset(cfg: Config, split: str) -> ConfigDict:
    dataset = cfg[f"{split}_dataloader"].dataset
    if dataset.type not in ("CocoDataset", "CocoPanopticDataset") or "ann_file" not in dataset:
        raise DenseCLError(
            f"{split}_dataloader.dataset is a {dataset.type}: fine-tuning needs a CocoDataset or a"
            " CocoPanopticDataset with an ann_file."
        )
    return dataset


def _fit_pyramid(model: ConfigDict, scope: str) -> None:
    """Set the pyramid's input channels to those of the backbone, and check the strides."""
    described = dict(model.backbone)
    if "." not in described["type"] and described["type"] != "TimmBackbone":
        described["type"] = f"{scope}.{described['type']}"
    backbone = build_backbone(described)
    if tuple(backbone.strides) != _PYRAMID_STRIDES:
        raise DenseCLError(
            f"the backbone's maps have strides {tuple(backbone.strides)}, the pyramid needs"
            f" {_PYRAMID_STRIDES}. Choose other out_indices; for a plain vision transformer set"
            " model.backbone.pyramid=True."
        )
    model.neck.in_channels = list(backbone.out_channels)


def set_everywhere(value: Any, key: str, new: Any, old: Any = None) -> None:
    """Set every ``key`` in a nested config, or only those whose value is ``old``."""
    if isinstance(value, dict):
        if key in value and (old is None or value[key] == old):
            value[key] = new
        for item in value.values():
            set_everywhere(item, key, new, old)
    elif isinstance(value, list | tuple):
        for item in value:
            set_everywhere(item, key, new, old)
