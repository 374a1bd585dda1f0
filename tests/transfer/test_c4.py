"""C4 detectors: the last stage of the pretrained backbone arrives in the RoI head."""

import copy
import json

import pytest
import torch

from dense_cl.engine.checkpoint import save_checkpoint
from dense_cl.engine.config import load_config
from dense_cl.errors import DenseCLError
from dense_cl.transfer import detection_config as detection
from dense_cl.transfer.detector import load_detector_weights
from dense_cl.transfer.finetune import finetune
from dense_cl.transfer.mmdet_setup import import_mmdet

from .coco_set import write_set
from .files import pretrained
from .test_finetune import TINY, saved

VOC = "faster_rcnn_resnet50_c4_8xb2_step_24k_voc"
RECIPES = [VOC, "mask_rcnn_resnet50_c4_8xb2_step_12e_coco"]
SMALL = {  # ResNet-18, few regions, small images
    "model.backbone.depth": 18,
    "model.roi_head.shared_head.depth": 18,
    "model.rpn_head.in_channels": 256,
    "model.roi_head.bbox_roi_extractor.out_channels": 256,
    "model.roi_head.bbox_head.in_channels": 512,
}
RUN = SMALL | {
    "model.rpn_head.feat_channels": 32,
    "model.train_cfg.rcnn.sampler.num": 8,
    "model.train_cfg.rpn_proposal.max_per_img": 20,
    "model.test_cfg.rpn.max_per_img": 10,
    **{key: value for key, value in TINY.items() if "pipeline.2" not in key},
    "train_dataloader.dataset.pipeline.2.scales": [(64, 64)],
    "train_cfg.val_interval": 2,
    "default_hooks.checkpoint.interval": 2,
    "optim_wrapper.optimizer.lr": 0.01,
    "param_scheduler.0.start_factor": 0.5,
}


def build(recipe=VOC, **changes):
    import_mmdet()
    from mmdet.registry import MODELS

    cfg = load_config(recipe)
    cfg.merge_from_dict(changes)
    detection.set_backbone(cfg, None)
    return MODELS.build(cfg.model)


def place(key):
    """Where a tensor of the file belongs in the detector."""
    return f"roi_head.shared_head.{key}" if key.startswith("layer4.") else f"backbone.{key}"


@pytest.mark.parametrize(("recipe", "depth"), [*((r, 50) for r in RECIPES), (VOC, 18)])
def test_every_pretrained_tensor_lands_in_the_detector_and_changes_it(tmp_path, recipe, depth):
    given = pretrained(dict(type="ResNet", depth=depth), tmp_path / "c.pth").state_dict()
    detector = build(recipe, **(SMALL if depth == 18 else {}))
    before = copy.deepcopy(detector.state_dict())
    reports = load_detector_weights(detector, tmp_path / "c.pth")
    assert list(reports) == ["backbone", "roi_head.shared_head"]
    assert all(report.full for report in reports.values())
    stage = [key for key in given if key.startswith("layer4.")]
    assert len(reports["roi_head.shared_head"].matched) == len(stage) >= 30
    assert len(reports["backbone"].matched) == len(given) - len(stage)
    after = detector.state_dict()
    for key, value in given.items():
        assert torch.equal(after[place(key)], value), key
        assert "num_batches" in key or not torch.equal(value, before[place(key)]), key
    others = after.keys() - {place(key) for key in given}
    assert all(torch.equal(after[key], before[key]) for key in others)
    kept = {key for key in others if key.startswith(("backbone.", "roi_head.shared_head."))}
    names = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert kept == {f"roi_head.shared_head.norm.{name}" for name in names}


def test_strides_are_those_of_pretraining_and_nothing_is_frozen():
    detector = build().train()
    first = detector.roi_head.shared_head.layer4[0]
    assert (first.conv1.stride, first.conv2.stride) == ((1, 1), (2, 2))  # caffe's are the reverse
    assert all(parameter.requires_grad for parameter in detector.parameters())
    assert all(module.training for module in detector.modules())
    regions = torch.randn(2, 1024, 14, 14)
    out = detector.roi_head.shared_head(regions)
    assert out.shape == (2, 2048, 7, 7)
    # The last layer normalises: channels of mean 0 over regions and places.
    assert out.mean(dim=(0, 2, 3)).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: [s.pop(k) for k in list(s) if "layer4" in k], r"missing.*layer4\.0\.conv1"),
        (lambda s: s.pop("backbone.layer4.1.bn2.running_var"), r"1 missing.*layer4\.1\.bn2\.run"),
        (lambda s: s.pop("backbone.layer2.0.conv1.weight"), r"1 missing.*layer2\.0\.conv1"),
        (lambda s: s.update({"backbone.layer5.weight": torch.zeros(1)}), r"1 unexpected.*layer5"),
    ],
)
def test_a_partly_matching_file_is_refused_and_changes_nothing(tmp_path, change, message):
    pretrained(dict(type="ResNet", depth=18), tmp_path / "c.pth")
    content = torch.load(tmp_path / "c.pth", weights_only=False)
    change(content["state_dict"])
    file = save_checkpoint(content, tmp_path / "cut.pth")
    detector = build(**SMALL)
    before = copy.deepcopy(detector.state_dict())
    with pytest.raises(DenseCLError, match=message) as error:
        load_detector_weights(detector, file)
    assert "\n" not in str(error.value) and "ResNetWithSharedHead" in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in detector.state_dict().items())


def test_another_depth_is_named(tmp_path):
    pretrained(dict(type="ResNet", depth=18), tmp_path / "c.pth")
    with pytest.raises(DenseCLError, match="holds a ResNet-18, the model is a ResNet-50"):
        load_detector_weights(build(), tmp_path / "c.pth")


def test_supervised_weights_of_a_foreign_config_are_not_loaded():
    from mmengine.hub import get_config

    import_mmdet()
    cfg = get_config("mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py")
    assert cfg.model.roi_head.shared_head.init_cfg.type == "Pretrained"
    detection.set_backbone(cfg, None)
    shared, backbone = cfg.model.roi_head.shared_head, cfg.model.backbone
    for part in (shared, backbone):
        assert (part.init_cfg, part.norm_eval, part.style) == (None, False, "pytorch")
        assert part.norm_cfg.requires_grad
    assert backbone.frozen_stages == -1


@pytest.mark.parametrize("frozen", [False, True])
def test_fine_tuning_starts_from_the_stage_and_trains_it_unless_it_is_frozen(
    tmp_path, frozen, monkeypatch
):
    from dense_cl.transfer.hooks import LoadBackbone

    start = {}

    def remember(hook, runner, original=LoadBackbone.before_train):
        original(hook, runner)
        start.update({key: value.clone() for key, value in runner.model.state_dict().items()})

    monkeypatch.setattr(LoadBackbone, "before_train", remember)
    labels = write_set(tmp_path / "set")
    given = pretrained(dict(type="ResNet", depth=18), tmp_path / "c.pth").state_dict()
    finetune(
        VOC, tmp_path / "c.pth", labels, labels, work_dir=tmp_path / "w", cfg_options=RUN,
        freeze_backbone=frozen,
    )  # fmt: skip
    end = saved(tmp_path / "w")
    assert all(torch.equal(start[place(key)], value) for key, value in given.items())
    kept = [key for key, value in given.items() if torch.equal(end[place(key)], value)]
    assert kept == (list(given) if frozen else [])
    norm = "roi_head.shared_head.norm"
    assert all(not torch.equal(end[f"{norm}.{key}"], start[f"{norm}.{key}"])
               for key in ("weight", "running_mean"))  # fmt: skip
    written = json.loads((tmp_path / "w" / "metrics.json").read_text())
    assert written["pretrained"] == ["backbone", "roi_head.shared_head"]
    log = next((tmp_path / "w").glob("*/*.log")).read_text()
    assert "roi_head.shared_head" in log and "30 matched, 0 missing" in log
