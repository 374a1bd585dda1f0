"""The exported file is what torchvision, timm, MMDetection and load_backbone load."""

import json

import pytest
import timm
import torch
import torchvision
from safetensors import safe_open

from dense_cl.cli import main
from dense_cl.engine.checkpoint import save_checkpoint
from dense_cl.errors import DenseCLError
from dense_cl.transfer.export import export_backbone
from dense_cl.transfer.loading import load_backbone

from .files import NORMALIZATION, poisoned, pretrained

IMAGE = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A ResNet-18 and its two exported files."""
    folder = tmp_path_factory.mktemp("resnet")
    backbone = pretrained(dict(type="ResNet", depth=18), folder / "checkpoint.pth")
    return backbone.eval(), *export_backbone(folder / "checkpoint.pth", folder / "backbone")


@pytest.mark.parametrize("index", [1, 2], ids=["pth", "safetensors"])
def test_round_trip(resnet, index):
    loaded = load_backbone(resnet[index]).eval()
    for ours, theirs in zip(resnet[0](IMAGE), loaded(IMAGE), strict=True):
        assert torch.equal(ours, theirs)
    assert loaded.normalization == NORMALIZATION


def test_metadata_is_the_same_in_both_files(resnet):
    meta = torch.load(resnet[1], weights_only=True)["meta"]
    with safe_open(resnet[2], "pt") as stream:
        assert {key: json.loads(value) for key, value in stream.metadata().items()} == meta
    assert meta == {
        "format": "dense_cl.backbone",
        "method": "InfoNCE+DenseInfoNCE",
        "architecture": {"type": "ResNet", "depth": 18},
        "normalization": NORMALIZATION,
        "config_hash": "0123abcd",
        "data_fingerprint": "f00",
        "versions": {"torch": "2"},
        "iter": 40,
        "epoch": 2,
        "seed": 3,
    }


def test_torchvision_loads_it(resnet):
    model = torchvision.models.resnet18()
    keys = model.load_state_dict(torch.load(resnet[1], weights_only=True)["state_dict"], False)
    assert keys.missing_keys == ["fc.weight", "fc.bias"] and keys.unexpected_keys == []
    model.fc = torch.nn.Identity()
    expected = resnet[0](IMAGE)[-1].mean((2, 3))
    torch.testing.assert_close(model.eval()(IMAGE), expected, rtol=1e-6, atol=1e-6)


def test_mmdetection_loads_it(resnet):
    from dense_cl.transfer.mmdet_setup import import_mmdet

    import_mmdet()
    from mmdet.models import ResNet

    model = ResNet(18, style="pytorch")
    model.eval()  # returns nothing in MMDetection
    model.load_state_dict(torch.load(resnet[1], weights_only=True)["state_dict"])
    for ours, theirs in zip(resnet[0](IMAGE), model(IMAGE), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_timm_loads_it(tmp_path):
    backbone = pretrained(
        dict(type="TimmBackbone", model_name="mobilenetv3_small_050"), tmp_path / "c.pth"
    ).eval()
    file, _ = export_backbone(tmp_path / "c.pth", tmp_path / "b")
    model = timm.create_model("mobilenetv3_small_050", num_classes=0).eval()
    keys = model.load_state_dict(torch.load(file, weights_only=True)["state_dict"], strict=False)
    assert keys.unexpected_keys == []
    assert all(key.startswith("conv_head") for key in keys.missing_keys)
    expected = model.forward_intermediates(IMAGE, intermediates_only=True)[-1]
    assert torch.equal(backbone(IMAGE)[-1], expected)
    assert torch.equal(load_backbone(file).eval()(IMAGE)[-1], expected)


def test_mmdetection_backbone_round_trip(tmp_path):
    architecture = dict(
        type="mmdet.RegNet", arch="regnetx_400mf", out_indices=(0, 1, 2, 3), style="pytorch"
    )
    backbone = pretrained(architecture, tmp_path / "c.pth")
    _, file = export_backbone(tmp_path / "c.pth", tmp_path / "b.safetensors")
    loaded = load_backbone(file)
    for module in (backbone, loaded):
        module.eval()  # returns nothing in MMDetection
    for ours, theirs in zip(backbone(IMAGE), loaded(IMAGE), strict=True):
        assert torch.equal(ours, theirs)


def test_command_writes_both_and_nothing_else(resnet, tmp_path, capsys):
    out = tmp_path / "new" / "model.pth"
    assert main(["export", str(resnet[1].with_name("checkpoint.pth")), "--out", str(out)]) == 0
    assert {path.name for path in out.parent.iterdir()} == {"model.pth", "model.safetensors"}
    assert "model.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize("zipped", [True, False], ids=["torch.save", "pickle"])
def test_a_pickle_with_code_is_refused_by_name(tmp_path, capsys, zipped):
    file = poisoned(tmp_path / "bad.pth", tmp_path / "marker", zipped)
    assert main(["export", str(file), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert str(file) in message and "refused" in message
    assert not (tmp_path / "marker").exists() and not (tmp_path / "out.pth").exists()


def test_other_files_are_named_for_what_they_are(resnet, tmp_path):
    with pytest.raises(DenseCLError, match="is an exported backbone already"):
        export_backbone(resnet[1], tmp_path / "out")
    plain = save_checkpoint(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(DenseCLError, match="it lacks meta.*, weights named 'backbone"):
        export_backbone(plain, tmp_path / "out")
    with pytest.raises(DenseCLError, match="does not exist"):
        export_backbone(tmp_path / "nothing.pth", tmp_path / "out")


def test_a_checkpoint_with_missing_weights_is_not_exported(resnet, tmp_path):
    content = torch.load(resnet[1].with_name("checkpoint.pth"), weights_only=True)
    del content["state_dict"]["backbone.layer3.0.bn2.running_var"]
    save_checkpoint(content, tmp_path / "c.pth")
    with pytest.raises(DenseCLError, match=r"1 missing.*layer3\.0\.bn2\.running_var"):
        export_backbone(tmp_path / "c.pth", tmp_path / "out")
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize(
    "architecture",
    [
        dict(type="os.mkdir", path="MARKER"),
        dict(type="mmdet.ResNet", depth=18, norm_cfg=dict(type="os.mkdir", path="MARKER")),
        dict(type="mmdet.ResNet", depth=18, plugins=[dict(cfg=dict(type="os.mkdir"))]),
    ],
)
def test_an_architecture_cannot_call_functions(resnet, tmp_path, architecture):
    text = json.dumps(architecture).replace("MARKER", str(tmp_path / "marker"))
    content = torch.load(resnet[1], weights_only=True)
    content["meta"]["architecture"] = json.loads(text)
    file = save_checkpoint(content, tmp_path / "b.pth")
    with pytest.raises(DenseCLError, match="refused: its description names 'os.mkdir'"):
        load_backbone(file)
    assert not (tmp_path / "marker").exists()
