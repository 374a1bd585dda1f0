"""Which backbones are taken, and what those that are not are told."""

from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone, open_backbone
from dense_cl.models import build_backbone
from dense_cl.transfer.weights_file import write_weights

IMAGES = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    """Write a file that says nothing of itself, as torchvision's are."""
    model = torchvision.models.resnet18()
    torch.save(model.state_dict(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def test_a_plain_resnet_is_recognised_by_its_keys(resnet: Path) -> None:
    model = torchvision.models.resnet18()
    model.load_state_dict(torch.load(resnet, weights_only=True))
    model.fc = torch.nn.Identity()
    frozen = FrozenBackbone.load(resnet)
    expected = model.eval()(frozen.normalised(IMAGES))
    torch.testing.assert_close(frozen.pooled(IMAGES), expected, rtol=1e-4, atol=1e-4)
    named = FrozenBackbone.load(f"{resnet}:resnet18")
    assert torch.equal(named.pooled(IMAGES), frozen.pooled(IMAGES))
    assert named.fingerprint == frozen.fingerprint


def test_any_timm_model_by_its_name(tmp_path: Path) -> None:
    import timm

    model = timm.create_model("resnet10t")
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(DenseCLError, match=r"does not say which architecture.*weights\.pth:"):
        FrozenBackbone.load(tmp_path / "weights.pth")
    frozen = FrozenBackbone.load(f"{tmp_path / 'weights.pth'}:resnet10t")
    expected = model.eval().forward_features(frozen.normalised(IMAGES)).mean(dim=(2, 3))
    torch.testing.assert_close(frozen.pooled(IMAGES), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("classes", [0, 7])
@pytest.mark.parametrize(
    ("name", "options"),
    [("vit_tiny_patch16_224", {"global_pool": "avg"}), ("mobilenetv3_small_050", {})],
)
def test_layers_behind_the_last_map_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict, classes: int
) -> None:
    import timm

    model = timm.create_model(name, num_classes=classes, **options)
    monkeypatch.setattr(timm, "create_model", partial(timm.create_model, **options))
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    frozen = FrozenBackbone.load(f"{tmp_path / 'weights.pth'}:{name}")
    images = torch.cat([IMAGES.repeat(1, 4, 4, 1)[:, :224, :224]])
    (expected,) = model.eval().forward_intermediates(
        frozen.normalised(images), indices=1, norm=False, intermediates_only=True
    )
    torch.testing.assert_close(frozen.stages(images)[-1], expected.detach(), rtol=1e-3, atol=1e-3)
    torch.save(model.state_dict() | {"blocks.0.more": torch.ones(1)}, tmp_path / "weights.pth")
    with pytest.raises(DenseCLError, match=r"1 unexpected.*First unexpected: blocks\.0\.more"):
        FrozenBackbone.load(f"{tmp_path / 'weights.pth'}:{name}")


def test_a_transformer_is_seen_as_its_own_classifier_sees_it(tmp_path: Path) -> None:
    """The class token behind the final norm, which the patches of dense tasks go through too."""
    import timm

    name = "vit_tiny_patch16_224"
    model = timm.create_model(name, num_classes=7).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    frozen = FrozenBackbone.load(f"{tmp_path / 'weights.pth'}:{name}")
    inputs = frozen.normalised(IMAGES.repeat(1, 4, 4, 1)[:, :224, :224])
    with torch.no_grad():
        tokens = model.forward_features(inputs)
    images = IMAGES.repeat(1, 4, 4, 1)[:, :224, :224]
    torch.testing.assert_close(frozen.pooled(images), tokens[:, 0], rtol=1e-3, atol=1e-3)
    patches = frozen.stages(images)[-1].flatten(2).transpose(1, 2)
    torch.testing.assert_close(patches, tokens[:, 1:], rtol=1e-3, atol=1e-3)
    assert frozen.facts()["backbone_architecture"] == name
    without_norm = {key: value for key, value in model.state_dict().items() if "norm." not in key}
    without_norm |= {key: v for key, v in model.state_dict().items() if key.startswith("blocks")}
    torch.save(without_norm, tmp_path / "mean.pth")  # as a backbone that was pretrained by its mean
    mean = FrozenBackbone.load(f"{tmp_path / 'mean.pth'}:{name}")
    assert torch.equal(mean.pooled(images), mean.stages(images)[-1].mean(dim=(2, 3)))


def test_architectures_by_name() -> None:
    def name(backbone: str) -> str:
        return FrozenBackbone.load(backbone).facts()["backbone_architecture"]

    assert name("random") == "resnet18" and name("random:resnet10t") == "resnet10t"
    vit = "random:vit_tiny_patch16_224"
    assert name(vit) == name(f"{vit}.augreg_in21k") == "vit_tiny_patch16_224"
    grouped = FrozenBackbone.wrap(build_backbone(dict(type="ResNet", depth=18, norm="GN")))
    assert grouped.facts()["backbone_architecture"] == "resnet18 with group norm"


@pytest.mark.parametrize(
    "name", ["cait_xxs24_224", "xcit_nano_12_p16_224", "deit_tiny_patch16_224"]
)
def test_class_tokens_that_come_in_late_are_not_looked_for(name: str) -> None:
    """CaiT's and XCiT's are not there while the maps are made; a corner would be in their place."""
    frozen = FrozenBackbone.load(f"random:{name}")
    assert frozen.module.class_token == name.startswith("deit")
    if not frozen.module.class_token:
        with pytest.raises(DenseCLError, match="its class token comes in behind the last map"):
            build_backbone(dict(type="TimmBackbone", model_name=name, class_token=True))


def test_a_misspelt_name_of_weights() -> None:
    with pytest.raises(DenseCLError, match="Did you mean 'vit_tiny_patch16_224.augreg_in21k'"):
        FrozenBackbone.load("random:vit_tiny_patch16_224.augreg_in12k")


def test_names_of_timms_weights_bring_their_normalisation(tmp_path: Path) -> None:
    """A name of the model alone does not: files of others have its keys, too."""
    import timm

    name, weights = "vit_tiny_patch16_224", tmp_path / "weights.pth"
    torch.save(timm.create_model(name).state_dict(), weights)
    published = FrozenBackbone.load(f"{weights}:{name}.augreg_in21k_ft_in1k")
    assert published.mean.tolist() == published.std.tolist() == [127.5] * 3
    assert FrozenBackbone.load(f"{weights}:{name}").mean.tolist() == pytest.approx(
        [123.675, 116.28, 103.53]
    )


def test_torchvisions_weights_by_name(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(DenseCLError, match=r"needs '.*resnet50-0676ba61\.pth', which is not there"):
        FrozenBackbone.load("torchvision:resnet50")
    with pytest.raises(DenseCLError, match="is for ResNets of 18, 34"):
        FrozenBackbone.load("torchvision:vit_tiny_patch16_224")
    (tmp_path / "checkpoints").mkdir()
    file = resnet.rename(tmp_path / "checkpoints" / "resnet18-f37072fd.pth")
    names = (file, "torchvision", "torchvision:resnet18")
    assert len({FrozenBackbone.load(name).fingerprint for name in names}) == 1
    assert FrozenBackbone.load(file).fingerprint != FrozenBackbone.load("random", 1).fingerprint


def test_depths_that_only_timm_has() -> None:
    assert type(FrozenBackbone.load("random:resnet26").module).__name__ == "TimmBackbone"
    assert type(FrozenBackbone.load("random:resnet18").module).__name__ == "ResNet"


def test_relatives_of_a_resnet_are_not_called_something_else(tmp_path: Path) -> None:
    model = torchvision.models.wide_resnet50_2()
    torch.save(model.state_dict(), tmp_path / "wide.pth")
    with pytest.raises(DenseCLError, match="mismatched.*The shapes are those of a relative"):
        FrozenBackbone.load(tmp_path / "wide.pth")


def test_a_wrong_architecture_and_a_partial_match_are_refused(resnet: Path) -> None:
    with pytest.raises(DenseCLError, match="holds a ResNet-18, the model is a ResNet-50"):
        FrozenBackbone.load(f"{resnet}:resnet50")
    state = torch.load(resnet, weights_only=True)
    del state["layer4.1.bn2.running_mean"]
    torch.save(state, resnet)
    with pytest.raises(DenseCLError, match="1 missing.*First missing: layer4.1.bn2.running_mean"):
        FrozenBackbone.load(resnet)
    with pytest.raises(DenseCLError, match="backbone 'nowhere.pth' is not a file"):
        FrozenBackbone.load("nowhere.pth:resnet18")


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_only_rgb_is_taken(tmp_path: Path, order: str) -> None:
    weights = FrozenBackbone.load("random").module.state_dict()
    meta = {
        "architecture": {"type": "ResNet", "depth": 18},
        "normalization": {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0], "channel_order": order},
    }
    file, _ = write_weights(weights, meta, tmp_path / "backbone")
    if order == "RGB":
        assert FrozenBackbone.load(file).std.tolist() == [4.0, 5.0, 6.0]
        assert FrozenBackbone.load(f"{file}:resnet18").mean.tolist() == [1.0, 2.0, 3.0]
    else:
        for text in (str(file), f"{file}:resnet18"):
            with pytest.raises(DenseCLError, match="in the order BGR, but images are read as RGB"):
                FrozenBackbone.load(text)


def test_a_normalisation_counts_without_an_architecture_and_is_checked(tmp_path: Path) -> None:
    weights = FrozenBackbone.load("random").module.state_dict()
    normal = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0], "channel_order": "BGR"}
    torch.save({"state_dict": weights, "meta": {"normalization": normal}}, tmp_path / "b.pth")
    with pytest.raises(DenseCLError, match="in the order BGR"):
        FrozenBackbone.load(tmp_path / "b.pth")
    for wrong in ({"std": [1.0] * 3}, {"mean": [0.0] * 3, "std": [1.0, 0.0, 1.0]}):
        torch.save({"state_dict": weights, "meta": {"normalization": wrong}}, tmp_path / "b.pth")
        with pytest.raises(DenseCLError, match="is not usable: it needs mean and std of three"):
            FrozenBackbone.load(tmp_path / "b.pth")


def test_fingerprints_follow_what_decides_the_features() -> None:
    first, again, other = (open_backbone("random", seed)[1].fingerprint for seed in (0, 0, 1))
    assert first == again != other
    assert open_backbone(torchvision.models.resnet18())[0] == "ResNet"


def test_a_module_goes_on_training_after_it_was_looked_at() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).train()
    _, frozen = open_backbone(module)
    assert not frozen.module.training
    assert module.training and module[1].training
    assert all(parameter.requires_grad for parameter in module.parameters())
