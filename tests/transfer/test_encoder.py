"""From pretraining to a classifier and on to a student: what is handed over is what was trained."""

import json
from typing import Any

import pytest
import torch
from torch import nn

from dense_cl import pretrain
from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.models.layers import build_layers, describe_layers, first_layers
from dense_cl.models.standardized import StandardizedLinear
from dense_cl.transfer.encoder import Encoder, load_encoder, save_encoder
from dense_cl.transfer.export import export_backbone
from dense_cl.transfer.loading import load_backbone
from dense_cl.transfer.weights_file import read_weights
from tests.engine.interrupt import SAVE_OFTEN, PowerCut, differences, final_state
from tests.engine.tiny import tiny_config, write_images

HEAD = dict(type="MLPHead", hidden_channels=16, out_channels=8, num_layers=3, norm="SyncBN")
IMAGE = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("photos"), 18)


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """SimCLR v2 in small: a three-layer head. Returns the checkpoint and its state dict."""
    work_dir = tmp_path_factory.mktemp("run")
    cfg = tiny_config(photos, work_dir)
    cfg.model.target = None
    cfg.model.objectives = [dict(type="SimCLR", head=dict(HEAD, norm_last=True))]
    result = pretrain(cfg)
    return result, torch.load(result.checkpoint, weights_only=True)["state_dict"]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_first_layers_of_the_head_come_with_the_backbone(run, tmp_path, layers):
    result, state = run
    files = export_backbone(result.checkpoint, tmp_path / "encoder", head_layers=layers)
    backbone = load_backbone(result.backbone).eval()
    vectors = backbone(IMAGE)[-1].mean(dim=(2, 3))
    prefix = "objectives.simclr.head.layers."
    for number in range(layers):  # linear, batch norm, ReLU behind all but the last
        vectors = vectors @ state[f"{prefix}{3 * number}.weight"].T
        norm = {n: state.get(f"{prefix}{3 * number + 1}.{n}") for n in ("weight", "bias")}
        mean, var = (state[f"{prefix}{3 * number + 1}.running_{n}"] for n in ("mean", "var"))
        vectors = nn.functional.batch_norm(vectors, mean, var, **norm)
        vectors = vectors if number == 2 else vectors.relu()
    for file in files:
        encoder = load_encoder(file).eval()
        torch.testing.assert_close(encoder(IMAGE), vectors)
        assert encoder.out_channels == vectors.shape[1]
        # The same file is a backbone to all that want one.
        for mine, theirs in zip(load_backbone(file).eval()(IMAGE), backbone(IMAGE), strict=True):
            assert torch.equal(mine, theirs)


def test_command_line(run, tmp_path, capsys):
    checkpoint, out = str(run[0].checkpoint), str(tmp_path / "encoder")
    assert main(["export", checkpoint, "--out", out, "--head-layers", "1"]) == 0
    assert load_encoder(tmp_path / "encoder.pth").out_channels == 16
    capsys.readouterr()
    assert main(["export", checkpoint, "--out", out, "--head-layers", "4"]) == 2
    assert "the projection head has 3 layers" in capsys.readouterr().err


def classifier(run, folder, classes=3):
    """Fine-tune a linear layer behind the first layer of the head; write it."""
    export_backbone(run[0].checkpoint, folder / "encoder", head_layers=1)
    encoder = load_encoder(folder / "encoder.pth")
    head = nn.Sequential(*encoder.head, nn.Linear(encoder.out_channels, classes))
    model = Encoder(encoder.backbone, head, encoder.meta)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    labels = torch.arange(len(IMAGE)) % classes
    for _ in range(10):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(IMAGE), labels).backward()
        optimiser.step()
    return model.eval(), save_encoder(model, folder / "teacher")[0]


def test_a_fine_tuned_classifier_is_saved_whole(run, tmp_path):
    model, file = classifier(run, tmp_path)
    torch.testing.assert_close(load_encoder(file).eval()(IMAGE), model(IMAGE))
    assert load_encoder(file).out_channels == 3
    parts = Encoder(model.backbone, model.head, model.meta | {"detector_parts": {"x": "neck"}})
    _, copy = save_encoder(parts, tmp_path / "copy")
    assert not read_weights(copy).detector  # whose tensors are not there


def student(photos, work_dir, teacher, **changes: Any):
    cfg = tiny_config(photos, work_dir, **changes)
    cfg.model.target = None
    cfg.model.objectives = [dict(type="Distillation", teacher=str(teacher), temperature=0.5)]
    return cfg


def test_a_student_learns_the_teacher_from_unlabelled_images(run, photos, tmp_path):
    _, teacher = classifier(run, tmp_path)
    before = load_encoder(teacher).state_dict()
    cfg = student(photos, tmp_path / "student", teacher, train_cfg__max_epochs=30)
    cfg.train_dataloader.dataset.views[0].count = 1
    cfg.default_hooks.logger.interval = 4
    result = pretrain(cfg)
    state = final_state(tmp_path / "student")["state_dict"]
    for name, value in before.items():  # statistics of its norm layers, too
        assert torch.equal(state[f"objectives.distillation.teacher.{name}"], value), name
    lines = (tmp_path / "student/vis_data/scalars.json").read_text().splitlines()
    divergence = [json.loads(line)["distillation_divergence"] for line in lines]
    assert sum(divergence[-5:]) < 0.5 * sum(divergence[:5])
    # The student's classifier goes the way of a projection head.
    file = export_backbone(result.checkpoint, tmp_path / "done", head_layers=1)[0]
    assert load_encoder(file).out_channels == 3


def test_distillation_resumes_exactly(run, photos, tmp_path):
    _, teacher = classifier(run, tmp_path)
    pretrain(student(photos, tmp_path / "whole", teacher, **SAVE_OFTEN))
    cut = student(photos, tmp_path / "cut", teacher, **SAVE_OFTEN)
    cut.custom_hooks = [dict(type="ActAtIteration", iteration=5, action="cut")]
    with pytest.raises(PowerCut):
        pretrain(cut)
    pretrain(student(photos, tmp_path / "cut", teacher, **SAVE_OFTEN), resume="auto")
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "cut")) == []


def test_mistakes_are_named(run, photos, tmp_path):
    backbone = run[0].backbone
    with pytest.raises(DenseCLError, match="is a backbone without a classifier"):
        pretrain(student(photos, tmp_path / "a", backbone))
    with pytest.raises(DenseCLError, match="does not exist"):
        pretrain(student(photos, tmp_path / "b", tmp_path / "none.pth"))
    with pytest.raises(DenseCLError, match="a Dropout behind a backbone cannot be described"):
        describe_layers([nn.Dropout()])
    with pytest.raises(DenseCLError, match="'some.pth' describes layers .* cannot be built"):
        build_layers([dict(type="Bilinear")], "some.pth")
    with pytest.raises(DenseCLError, match="has 1 layers"):
        first_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), 2)


def test_layers_come_back_as_they_were_described():
    layers = nn.Sequential(
        nn.Linear(8, 32, bias=False), nn.GroupNorm(32, 32), nn.ReLU(inplace=True), nn.Linear(32, 4),
        nn.BatchNorm1d(4, affine=False), nn.GELU(), StandardizedLinear(4, 3),
    )  # fmt: skip
    again = build_layers(describe_layers(layers), "file")
    again.load_state_dict(layers.state_dict(), strict=True)
    rows = torch.randn(5, 8)
    torch.testing.assert_close(again.eval()(rows), layers.eval()(rows))
