"""The neck and box head that SoCo trains arrive in MMDetection's detectors, whole or not at all."""

import copy
import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision

from dense_cl.engine.checkpoint import save_checkpoint
from dense_cl.engine.config import load_config
from dense_cl.engine.state import _detector_parts
from dense_cl.errors import DenseCLError
from dense_cl.models import Learner
from dense_cl.transfer.detector import load_detector_weights
from dense_cl.transfer.export import export_backbone
from dense_cl.transfer.finetune import finetune
from dense_cl.transfer.loading import load_backbone
from dense_cl.transfer.mmdet_setup import import_mmdet
from dense_cl.transfer.weights_file import read_weights

from .coco_set import write_set
from .files import NORMALIZATION
from .test_finetune import TINY, saved

SMALL = "soco_resnet18_1xb32_cosine_40e_voc_animals"
LARGE = "soco_resnet50_16xb128_cosine_100e_imagenet"
DETECTORS = {
    SMALL: [f"{kind}_rcnn_resnet18_fpn_1xb4_cosine_1200i_small" for kind in ("faster", "mask")],
    LARGE: [
        "faster_rcnn_resnet50_fpn_8xb2_step_12e_coco",
        "mask_rcnn_resnet50_fpn_8xb2_step_12e_coco",
    ],
}
FASTER = DETECTORS[SMALL][0]


def learner_of(recipe: str, **changes: Any) -> Learner:
    model = load_config(recipe).model.to_dict()
    model.pop("type")
    model["objectives"][0] |= changes
    return Learner(**model)


def checkpoint(learner: Learner, path):
    """What a run leaves behind, with weights that no initialisation gives."""
    for name, value in learner.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape) if "var" not in name else torch.rand(value.shape))
    meta = dict(
        architecture=dict(type="ResNet", depth=18),
        normalization=NORMALIZATION,
        method="SoCo",
        detector_parts=_detector_parts(SimpleNamespace(learner=learner)),
    )
    return save_checkpoint({"state_dict": learner.state_dict(), "meta": meta}, path)


@pytest.fixture(scope="module")
def soco(tmp_path_factory):
    """Checkpoint, its state dict, and its exported files."""
    folder = tmp_path_factory.mktemp("soco")
    learner = learner_of(SMALL)
    file = checkpoint(learner, folder / "checkpoint.pth")
    return SimpleNamespace(
        checkpoint=file, state=learner.state_dict(), exports=export_backbone(file, folder / "soco")
    )


def detector_of(recipe: str, **changes: Any) -> torch.nn.Module:
    import_mmdet()
    from mmdet.registry import MODELS

    cfg = load_config(recipe)
    cfg.merge_from_dict(changes)
    return MODELS.build(cfg.model)


def pretrained_keys(state) -> dict[str, torch.Tensor]:
    """What the detector must get, by its own names."""
    names = {
        "backbone.": "backbone.",
        "objectives.soco.encoder.neck.": "neck.",
        "objectives.soco.encoder.box_head.": "roi_head.bbox_head.",
    }
    return {
        there + key.removeprefix(here): value
        for here, there in names.items()
        for key, value in state.items()
        if key.startswith(here)
    }


@pytest.mark.parametrize("recipe", DETECTORS[SMALL])
@pytest.mark.parametrize("kind", ["pth", "safetensors", "checkpoint"])
def test_full_match_changes_the_weights_of_the_detector(soco, recipe, kind):
    file = {"pth": soco.exports[0], "safetensors": soco.exports[1], "checkpoint": soco.checkpoint}
    detector = detector_of(recipe)
    before = copy.deepcopy(detector.state_dict())
    reports = load_detector_weights(detector, file[kind])
    assert list(reports) == ["backbone", "neck", "roi_head.bbox_head"]
    assert all(report.full for report in reports.values())
    expected = pretrained_keys(soco.state)
    assert sum(len(report.matched) for report in reports.values()) == len(expected)
    after = detector.state_dict()
    for key, value in after.items():
        if key in expected:
            assert torch.equal(value, expected[key]), key
            assert "num_batches" in key or not torch.equal(value, before[key]), key
        else:  # proposals, class layers, masks
            assert torch.equal(value, before[key]), key
    untouched = {key.split(".")[0] for key in after.keys() - expected.keys()}
    assert untouched == {"rpn_head", "roi_head"}
    wanted = {k for k in after if k.startswith(("backbone.", "neck.", "roi_head.bbox_head.shared"))}
    assert wanted == set(expected)


@pytest.mark.parametrize("recipe", DETECTORS[LARGE])
def test_paper_scale_detectors_have_the_parts_of_the_paper_scale_recipe(recipe):
    with torch.device("meta"):
        state = pretrained_keys(learner_of(LARGE).state_dict())
        detector = detector_of(recipe).state_dict()
    wanted = {k for k in detector if k.startswith(("backbone", "neck", "roi_head.bbox_head.sha"))}
    assert wanted == state.keys()
    assert all(state[key].shape == detector[key].shape for key in wanted)


def test_who_wants_the_backbone_gets_the_backbone(soco):
    backbone = load_backbone(soco.exports[1]).state_dict()
    assert backbone.keys() == {
        key.removeprefix("backbone.") for key in soco.state if key.startswith("backbone.")
    }
    weights = read_weights(soco.exports[0])
    assert weights.state_dict.keys() == backbone.keys()
    content = torch.load(soco.exports[0], weights_only=True)
    keys = torchvision.models.resnet18().load_state_dict(content["state_dict"], strict=False)
    assert keys.missing_keys == ["fc.weight", "fc.bias"]
    assert all(key.startswith("detector.") for key in keys.unexpected_keys)
    assert content["meta"]["detector_parts"] == {
        "detector.neck": "neck",
        "detector.roi_head.bbox_head": "roi_head.bbox_head",
    }


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.mark.parametrize("backbone_only", [False, True])
def test_fine_tuning_starts_from_the_parts_and_trains_them(
    soco, labels, tmp_path, backbone_only, monkeypatch
):
    from dense_cl.transfer.hooks import LoadBackbone

    start = {}

    def remember(hook, runner, original=LoadBackbone.before_train):
        original(hook, runner)
        start.update({key: value.clone() for key, value in runner.model.state_dict().items()})

    monkeypatch.setattr(LoadBackbone, "before_train", remember)
    finetune(
        FASTER, soco.exports[0], labels, labels, work_dir=tmp_path, cfg_options=TINY,
        backbone_only=backbone_only,
    )  # fmt: skip
    expected = pretrained_keys(soco.state)
    end = saved(tmp_path)
    for key, value in expected.items():
        given = not backbone_only or key.startswith("backbone.")
        assert "num_batches" in key or torch.equal(start[key], value) == given, key
        # The statistics and weights of all that was handed over go on changing.
        assert not given or not torch.equal(end[key], value), key
    written = json.loads((tmp_path / "metrics.json").read_text())
    parts = ["backbone"] if backbone_only else ["backbone", "neck", "roi_head.bbox_head"]
    assert written["pretrained"] == parts
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert ("neck " in log and "24 matched, 0 missing" in log) != backbone_only


def refused(recipe, file, match, **changes):
    """Expect an error, and the detector as it was."""
    detector = detector_of(recipe, **changes)
    before = copy.deepcopy(detector.state_dict())
    with pytest.raises(DenseCLError, match=match) as error:
        load_detector_weights(detector, file)
    assert "--backbone-only" in str(error.value) and "\n" not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in detector.state_dict().items())
    assert list(load_detector_weights(detector, file, backbone_only=True)) == ["backbone"]


def test_anything_but_a_full_match_is_an_error(soco):
    file = soco.exports[0]
    refused(
        FASTER, file, r"neck of .*: 8 matched, 8 missing, 16 unexpected, 0 mismatched",
        **{"model.neck.norm_cfg": None},
    )  # fmt: skip
    refused(
        FASTER, file, r"roi_head\.bbox_head of .* First missing: shared_convs\.1\.conv\.weight",
        **{"model.roi_head.bbox_head.num_shared_convs": 2},
    )  # fmt: skip
    refused(
        FASTER, file, r"roi_head\.bbox_head of .* 2 mismatched.* First mismatched: shared_fcs",
        **{"model.roi_head.bbox_head.fc_out_channels": 256},
    )  # fmt: skip
    refused("retinanet_resnet18_fpn_1xb4_cosine_1200i_small", file, "neck of .* does not match")


def test_a_detector_without_the_part_is_named(soco):
    detector = detector_of(FASTER)
    del detector.roi_head.bbox_head
    with pytest.raises(DenseCLError, match="brings a pretrained roi_head.bbox_head, and the Fast"):
        load_detector_weights(detector, soco.exports[0])


def test_a_part_with_missing_weights_is_refused(soco, tmp_path):
    content = torch.load(soco.exports[0], weights_only=True)
    del content["state_dict"]["detector.neck.fpn_convs.2.gn.bias"]
    file = save_checkpoint(content, tmp_path / "cut.pth")
    refused(FASTER, file, r"neck of .* 1 missing.* First missing: fpn_convs\.2\.gn\.bias")


def test_two_objectives_with_the_same_part_are_refused():
    model = load_config(SMALL).model.to_dict()
    model.pop("type")
    model["objectives"] *= 2
    with pytest.raises(DenseCLError, match="two objectives train the neck of a detector"):
        Learner(**model)


def test_objectives_without_parts_bring_none():
    learner = learner_of("moco_v2_resnet18_1xb32_cosine_40e_voc_animals")
    assert _detector_parts(SimpleNamespace(learner=learner)) == {}
