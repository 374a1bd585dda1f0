"""Loading: every documented layout, and nothing but a full match."""

import pytest
import torch
import torchvision
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from dense_cl.engine.checkpoint import save_checkpoint
from dense_cl.errors import DenseCLError
from dense_cl.models import ResNet
from dense_cl.transfer.loading import load_backbone, load_backbone_weights
from dense_cl.transfer.weights_file import LAYOUTS, read_checkpoint, read_weights

from .files import Asks, poisoned


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(5)
    return torchvision.models.resnet18().state_dict()


def loaded(file, depth=18):
    model = ResNet(depth)
    return model, load_backbone_weights(model, file, quiet=True)


RESNET_LAYOUTS = [prefix for prefix in LAYOUTS if prefix != "backbone.model."]


@pytest.mark.parametrize("holder", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", *RESNET_LAYOUTS])
def test_documented_layouts(weights, tmp_path, prefix, holder):
    tensors = {prefix + key: value for key, value in weights.items()}
    tensors |= {f"{prefix.replace('_q', '_k')}queue": torch.zeros(2)} if "_q" in prefix else {}
    file = save_checkpoint({holder: tensors} if holder else tensors, tmp_path / "w.pth")
    model, report = loaded(file)
    assert len(report.matched) == 120 and report.unused == ("fc.weight", "fc.bias")
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())


def test_plain_safetensors_with_foreign_metadata(weights, tmp_path):
    save_file(weights, tmp_path / "w.safetensors", {"format": "pt", "note": "not json"})
    assert loaded(tmp_path / "w.safetensors")[1].full


def test_mmengine_checkpoint(weights, tmp_path):
    """It keeps its logs in HistoryBuffer objects beside the weights."""
    from mmengine.logging import MessageHub

    hub = MessageHub.get_instance("test_loading")
    hub.update_scalar("train/loss", 1.5)
    tensors = {f"backbone.{k}": v for k, v in weights.items() if not k.startswith("fc.")}
    tensors |= {"neck.convs.0.weight": torch.zeros(2)}
    torch.save(
        {"state_dict": tensors, "message_hub": hub.state_dict(), "meta": {"epoch": 1}},
        tmp_path / "epoch_1.pth",
    )
    assert loaded(tmp_path / "epoch_1.pth")[1].full


def test_two_encoders_are_ambiguous(weights, tmp_path):
    tensors = {f"{p}{k}": v for k, v in weights.items() for p in ("encoder_q.", "backbone.")}
    file = save_checkpoint(tensors, tmp_path / "w.pth")
    with pytest.raises(DenseCLError, match=r"several encoders \(backbone\., encoder_q\.\)"):
        read_weights(file)


@pytest.mark.parametrize(("given", "wanted"), [(50, 18), (34, 18), (18, 34), (18, 50), (101, 50)])
def test_wrong_depth_is_named(tmp_path, given, wanted):
    with torch.device("meta"):
        state = getattr(torchvision.models, f"resnet{given}")().state_dict()
    tensors = {key: torch.empty_like(value, device="cpu") for key, value in state.items()}
    file = save_checkpoint(tensors, tmp_path / "w.pth")
    with pytest.raises(
        DenseCLError, match=f"file holds a ResNet-{given}, the model is a ResNet-{wanted}"
    ):
        loaded(file, wanted)


def test_partial_match_changes_nothing(weights, tmp_path):
    tensors = {k: v for k, v in weights.items() if not k.startswith("layer4.1")}
    file = save_checkpoint(tensors, tmp_path / "w.pth")
    model = ResNet(18)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(DenseCLError, match=r"10 missing.*First missing: layer4\.1\.conv1\.weight"):
        load_backbone_weights(model, file)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_likely_reasons(weights, tmp_path):
    unknown = save_checkpoint({f"net.enc.{k}": v for k, v in weights.items()}, tmp_path / "u.pth")
    with pytest.raises(DenseCLError, match="keys begin with 'net.enc.', which is none of the"):
        loaded(unknown)
    tensors = dict(weights) | {"conv1.weight": torch.zeros(64, 1, 7, 7)}
    grey = save_checkpoint(tensors, tmp_path / "g.pth")
    with pytest.raises(DenseCLError, match="first layer takes 1 channels, the model's 3"):
        loaded(grey)
    vgg = save_checkpoint({"features.0.weight": torch.zeros(2)}, tmp_path / "v.pth")
    with pytest.raises(DenseCLError, match="holds another architecture"):
        loaded(vgg)


def test_weights_without_batch_counts_match(weights, tmp_path):
    """As torchvision's older files are; the counts are not used."""
    tensors = {k: v for k, v in weights.items() if "num_batches" not in k}
    assert loaded(save_checkpoint(tensors, tmp_path / "w.pth"))[1].full


def test_classifier_can_be_refused(weights, tmp_path):
    file = save_checkpoint(weights, tmp_path / "w.pth")
    with pytest.raises(DenseCLError, match="2 unexpected"):
        load_backbone_weights(ResNet(18), file, allow_classifier=False)


def test_counts_are_printed(weights, tmp_path, capsys):
    load_backbone_weights(ResNet(18), save_checkpoint(weights, tmp_path / "w.pth"))
    assert (
        "120 matched, 0 missing, 0 unexpected, 0 mismatched, 2 behind the last map left"
        in capsys.readouterr().out
    )


def test_unusable_files(weights, tmp_path):
    with pytest.raises(DenseCLError, match="does not exist"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(DenseCLError, match="holds no weights: its entries are epoch"):
        read_weights(save_checkpoint({"epoch": 3}, tmp_path / "e.pth"))
    save_file(weights, tmp_path / "w.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((tmp_path / "w.safetensors").read_bytes()[:-100])
    with pytest.raises(DenseCLError, match="damaged .safetensors"):
        read_weights(cut)
    with pytest.raises(DenseCLError, match="no description of its architecture"):
        load_backbone(tmp_path / "w.safetensors")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_never_run(tmp_path, zipped):
    file = poisoned(tmp_path / "bad.pth", tmp_path / "marker", zipped)
    with pytest.raises(DenseCLError, match=rf"{file}.*refused"):
        read_weights(file)
    assert not (tmp_path / "marker").exists()


def test_numbered_entries_are_no_weights(tmp_path):
    torch.save({0: torch.ones(2)}, tmp_path / "numbers.pth")
    with pytest.raises(DenseCLError, match="holds no weights: its entries are 0"):
        load_backbone_weights(ResNet(18), tmp_path / "numbers.pth")


@pytest.mark.parametrize(
    "asked",
    [Asks(HistoryBuffer, "__init__"), Asks(dict, "get"), Asks(HistoryBuffer.mean, "__globals__")],
)
def test_what_leads_to_any_code_is_refused(tmp_path, asked):
    """MMEngine's own list lets ``getattr`` through, and torch's helpers call what it gives."""
    file = tmp_path / "bad.pth"
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}, "more": asked}, file)
    with pytest.raises(DenseCLError, match=r"is refused: .*getattr"):
        read_weights(file)


def test_log_histories_of_mmengine_are_data(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    content = {"state_dict": {"conv1.weight": torch.zeros(1)}, "message_hub": {"loss": history}}
    torch.save(content, tmp_path / "iter_1.pth")
    read = read_checkpoint(tmp_path / "iter_1.pth")["message_hub"]["loss"]
    assert read.statistics("mean") == 1.5 and read.current() == 2.0
