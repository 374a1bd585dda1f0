"""dense-cl diagnose: the numbers are those of the backbone, and the files are there."""

import json
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

import dense_cl
from dense_cl.cli import main
from dense_cl.diagnostics.measure import label_measures, view_measures
from dense_cl.diagnostics.sample import sample_views
from dense_cl.diagnostics.subject import Subject
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.labelled_images import LabelledImages, class_numbers
from dense_cl.sources import FolderSource
from dense_cl.views.dataset import ViewDataset
from tests.engine.tiny import DEEPCLUSTER, clustering_config, tiny_config, write_images


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("photos"), 20)


@pytest.fixture(scope="module")
def labels(photos: Path) -> Path:
    lines = [f"{path.name}, class {i % 3}, {i}" for i, path in enumerate(sorted(photos.iterdir()))]
    file = photos.parent / "labels.txt"
    file.write_text("\n".join(f"{photos.name}/{line}" for line in lines))
    return file


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cfg = tiny_config(photos, tmp_path_factory.mktemp("run"))
    cfg.custom_hooks = [dict(type="DiagnosticsHook", images=4)]
    return dense_cl.pretrain(cfg).checkpoint


def test_a_checkpoint_with_labels(run: Path, photos: Path, labels: Path, tmp_path: Path) -> None:
    result = dense_cl.diagnose(run, photos, labels=labels, out=tmp_path)
    assert list(result["spaces"]) == ["features", "info_nce_projection"]  # no vector, no space
    assert result["settings"]["size"] == 32  # the recipe's

    subject = Subject.load(run)
    views, _ = sample_views(ViewDataset(FolderSource(photos), subject.views), 20)
    labelled = LabelledImages.find(labels)
    (numbers,) = class_numbers(labelled.names)
    for name, space in result["spaces"].items():
        expected = view_measures(subject.encode(views)[name])
        centre = subject.encode(labelled.images(32)[:, None])[name][:, 0]
        expected |= label_measures(centre, numbers)
        assert space["measures"] == pytest.approx(expected, rel=1e-5)
        assert {j["measure"] for j in space["judgements"]} > {"RankMe", "LiDAR", "tolerance"}
        assert space["sweep"]["temperature"] == [0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
        assert sum(space["spectrum"]) == pytest.approx(1, rel=1e-5)
    # Ten of 19 negatives are no few of them, and say nothing of a temperature.
    judged = [j["measure"] for s in result["spaces"].values() for j in s["judgements"]]
    assert not any(measure.startswith("hardest") for measure in judged)

    assert json.loads((tmp_path / "diagnostics.json").read_text()) == json.loads(json.dumps(result))
    pictures = {path.stem: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert set(pictures) == {"spectrum", "hardness", "trade_off", "feature_map", "curves"}
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
    page = (tmp_path / "diagnosis.html").read_text()
    assert page.count("data:image/png") == 5 and "info nce projection, 8 dimensions" in page


def test_the_backbone_alone_gives_the_same_features(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    exported = run.parent.parent / "backbone.pth"
    whole, alone = (dense_cl.diagnose(file, photos, size=32) for file in (run, exported))
    assert list(alone["spaces"]) == ["features"]
    # The views differ (MoCo v2's instead of the recipe's), the weights do not.
    images = torch.randint(0, 256, (3, 1, 32, 32, 3), dtype=torch.uint8)
    first, second = (Subject.load(file).encode(images)["features"] for file in (run, exported))
    torch.testing.assert_close(first, second)
    assert "sweep" not in whole["spaces"]["features"]


def test_heads_that_cannot_be_rebuilt_leave_the_backbone(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    content = torch.load(run, weights_only=True)
    content["meta"]["config"] = content["meta"]["config"].replace("InfoNCE", "OfSomeoneElse")
    torch.save(content, tmp_path / "other.pth")
    result = dense_cl.diagnose(tmp_path / "other.pth", photos, size=32)
    assert list(result["spaces"]) == ["features"]
    assert "cannot be rebuilt" in result["note"] and "OfSomeoneElse" in result["note"]


def test_crops_of_objects_are_replaced_by_random_ones(photos: Path, tmp_path: Path) -> None:
    cfg = tiny_config(photos, tmp_path, train_cfg__max_epochs=1)
    cfg.train_dataloader.dataset["views"][0]["crop"] = dict(type="SaliencyCrop", scale=(0.3, 0.9))
    cfg.train_dataloader.dataset.saliency = dict(type="SpectralResidual")
    result = dense_cl.diagnose(dense_cl.pretrain(cfg).checkpoint, photos)
    assert list(result["spaces"]) == ["features", "info_nce_projection"]
    assert result["note"] == "SaliencyCrop is replaced by random crops of the same sizes."


def test_a_memory_of_the_data_does_not_hide_the_heads(photos: Path, tmp_path: Path) -> None:
    cfg = clustering_config([DEEPCLUSTER], photos, tmp_path, train_cfg__max_epochs=1)
    result = dense_cl.diagnose(dense_cl.pretrain(cfg).checkpoint, photos)
    assert list(result["spaces"]) == ["features", "deepcluster_v2_projection"]
    assert not result["note"]


def test_an_architecture_behind_the_file(photos: Path, tmp_path: Path) -> None:
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "r.pth")
    result = dense_cl.diagnose(f"{tmp_path / 'r.pth'}:resnet18", photos, size=32)
    assert list(result["spaces"]) == ["features"]


def test_command_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["diagnose", "random", "--data", str(photos), "--size", "32", "--max-images", "8"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "features, 512 dimensions" in out and "RankMe" in out and "healthy" in out
    assert (tmp_path / "work_dirs/diagnostics/diagnosis.html").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(backbone="nothing.pth"), "backbone 'nothing.pth' is not a file"),
        (dict(data="nowhere"), "data 'nowhere' does not exist"),
        (dict(labels="nowhere"), "labelled images 'nowhere' do not exist"),
        (dict(size=8), "size is 8; it must be at least 16"),
        (dict(views=1), "views is 1; it must be at least 2"),
        (dict(max_images=1), "max_images is 1"),
        (dict(data="photos.tar"), "read as a stream"),
        (dict(column=4), "has no label number 4"),
    ],
)
def test_wrong_input(changes: dict, message: str, photos: Path, labels: Path) -> None:
    options = dict(backbone="random", data=photos, labels=labels)
    with pytest.raises(DenseCLError, match=message):
        dense_cl.diagnose(**{**options, **changes})


def test_a_folder_that_cannot_be_written(run: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DenseCLError, match="Give another folder with --out"):
        dense_cl.diagnose(run, photos, out=tmp_path / "file")
