"""When the fallback is used, what it says about itself, and MMDetection running on it."""

import sys
from types import ModuleType

import mmcv
import pytest
import torch

from dense_cl.errors import DenseCLError
from dense_cl.transfer.mmcv_ops import OPERATORS, compiled_error, ensure, extension, origin

ensure()
from mmcv import ops
from mmengine import Config
from mmengine.structures import InstanceData

fallback_only = pytest.mark.skipif(
    sys.modules["mmcv._ext"] is not extension, reason="mmcv has compiled operators here"
)


@fallback_only
def test_origins():
    assert {name for name in OPERATORS if origin(name) == "torchvision"} == {
        "nms",
        "soft_nms",
        "batched_nms",
        "roi_align",
        "roi_pool",
        "deform_conv2d",
        "modulated_deform_conv2d",
        "sigmoid_focal_loss",
    }
    assert origin("roi_align_backward") == "torchvision"
    assert origin("carafe") == origin("ball_query_forward") == "missing"


@fallback_only
def test_an_operator_without_fallback_says_so_when_called():
    with pytest.raises(DenseCLError, match="'nms_rotated' has no fallback.*pip install"):
        ops.nms_rotated(torch.rand(2, 5), torch.rand(2), 0.5)


def test_mmcv_reports_its_environment():
    from mmcv.utils import collect_env

    assert "MMCV Compiler" in collect_env()


@fallback_only
def test_a_compiled_extension_is_preferred(monkeypatch, tmp_path):
    (tmp_path / "_ext.py").write_text("def nms(): ...\n")
    monkeypatch.setattr(mmcv, "__path__", [*mmcv.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mmcv._ext")
    ensure()
    assert sys.modules["mmcv._ext"] is not extension
    assert (origin("nms"), origin("roi_align")) == ("compiled", "missing")


@fallback_only
def test_a_compiled_extension_for_another_torch_gives_way(monkeypatch, tmp_path):
    (tmp_path / "_ext.py").write_text("raise ImportError('undefined symbol: _ZN2at4_ops')\n")
    monkeypatch.setattr(mmcv, "__path__", [*mmcv.__path__, str(tmp_path)])
    libraries = ("mmcv.ops", "mmcv._ext", "mmdet", "mmseg")
    for name in [n for n in sys.modules if n.startswith(libraries)]:
        monkeypatch.delitem(sys.modules, name)
    assert compiled_error() == "undefined symbol: _ZN2at4_ops"
    ensure()
    assert sys.modules["mmcv._ext"] is extension


@fallback_only
@pytest.mark.parametrize("early", ["mmcv.ops", "mmdet.structures.mask", "mmseg.models"])
def test_too_late_is_an_error(monkeypatch, early):
    libraries = ("mmcv.ops", "mmcv._ext", "mmdet", "mmseg")
    for name in [n for n in sys.modules if n.startswith(libraries)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, early, ModuleType(early))
    with pytest.raises(DenseCLError, match=f"'{early}' was imported before .* Call .*ensure"):
        ensure()
    assert "mmcv._ext" not in sys.modules


def test_without_mmcv(monkeypatch):
    monkeypatch.delitem(sys.modules, "mmcv._ext")
    monkeypatch.setitem(sys.modules, "mmcv", None)
    with pytest.raises(DenseCLError, match="pip install onedl-mmcv"):
        ensure()


def tiny_mask_rcnn():
    """Return MMDetection's own Mask R-CNN on a ResNet-18, narrowed where it costs time."""
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    folder = f"{mmdet.__path__[0]}/.mim/configs/_base_/models"
    config = Config.fromfile(f"{folder}/mask-rcnn_r50_fpn.py").model
    config.backbone.update(depth=18, init_cfg=None, frozen_stages=-1)
    config.neck.update(in_channels=[64, 128, 256, 512], out_channels=32)
    config.rpn_head.update(in_channels=32, feat_channels=32)
    for extractor in ("bbox_roi_extractor", "mask_roi_extractor"):
        config.roi_head[extractor].out_channels = 32
    config.roi_head.bbox_head.update(in_channels=32, fc_out_channels=64, num_classes=3)
    config.roi_head.mask_head.update(in_channels=32, conv_out_channels=32, num_classes=3)
    config.test_cfg.rcnn.update(nms=dict(type="soft_nms", iou_threshold=0.5), score_thr=0.0)
    return MODELS.build(config)


def test_mask_rcnn_trains_and_predicts():
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    model = tiny_mask_rcnn()
    size = (96, 64)
    boxes = torch.tensor([[8.0, 10.0, 40.0, 60.0], [20.0, 50.0, 60.0, 90.0]])
    masks = torch.zeros(2, *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
    sample.gt_instances = InstanceData(
        bboxes=boxes, labels=torch.tensor([0, 2]), masks=BitmapMasks(masks.numpy(), *size)
    )
    data = model.data_preprocessor(
        dict(inputs=[torch.randint(0, 255, (3, *size)).byte()], data_samples=[sample]), True
    )
    losses, _ = model.parse_losses(model(**data, mode="loss"))
    losses.backward()
    # Gradients pass through RoIAlign into every part of the model.
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert (
        model.backbone.conv1.weight.grad.any()
        and model.roi_head.mask_head.convs[0].conv.weight.grad.any()
    )

    model.eval()
    with torch.no_grad():
        (result,) = model(**data, mode="predict")
    found = result.pred_instances
    assert len(found) > 0 and found.masks.shape == (len(found), *size)
    assert (found.bboxes >= 0).all() and (found.bboxes <= torch.tensor([64, 96, 64, 96])).all()
    assert (found.scores.diff() <= 0).all()
