"""The instruments look on while training, and leave no trace in it."""

import json
from pathlib import Path

import pytest
import torch

from dense_cl import load_backbone, pretrain
from dense_cl.diagnostics.measure import view_measures
from dense_cl.diagnostics.sample import sample_views
from dense_cl.engine.checkpoint import load_checkpoint
from dense_cl.engine.config_check import check_config
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.views.dataset import ViewDataset
from tests.engine.tiny import tiny_config, write_images


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    for name in ("cat", "dog"):
        write_images(folder / name, 6)
    return folder


def records(work_dir: Path) -> list[dict]:
    lines = (work_dir / "vis_data/scalars.json").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_weights_are_bit_identical_with_and_without_it(
    photos: Path, classes: Path, tmp_path: Path
) -> None:
    results = {}
    for name in ("without", "with"):
        cfg = tiny_config(photos, tmp_path / name)
        if name == "with":
            hook = dict(type="DiagnosticsHook", images=6, labelled=str(classes), interval=3)
            cfg.custom_hooks = [dict(hook, by_epoch=False)]
        results[name] = load_checkpoint(pretrain(cfg).checkpoint)
    plain, watched = results["without"], results["with"]
    assert plain["state_dict"].keys() == watched["state_dict"].keys()
    for key, value in plain["state_dict"].items():
        assert torch.equal(value, watched["state_dict"][key]), key
    assert torch.equal(plain["rng"][0]["torch"], watched["rng"][0]["torch"])
    assert plain["rng"][0]["python"] == watched["rng"][0]["python"]
    assert torch.equal(plain["rng"][0]["numpy"][1], watched["rng"][0]["numpy"][1])


def test_values_are_logged_by_epoch_and_are_those_of_the_backbone(
    photos: Path, classes: Path, tmp_path: Path
) -> None:
    cfg = tiny_config(photos, tmp_path)
    cfg.custom_hooks = [
        dict(type="DiagnosticsHook", images=8, labelled=str(classes), queries=str(classes))
    ]
    check_config(cfg)
    result = pretrain(cfg)
    measured = {r["step"]: r for r in records(tmp_path) if "diagnostics_rankme" in r}
    assert list(measured) == [0, 4, 8, 12]  # before the first epoch, and after each
    last = measured[12]
    # The two classes hold the same pictures, and every query finds its own copies.
    assert last["diagnostics_knn_chance"] == 0.5 and "diagnostics_tolerance" in last

    dataset = cfg.train_dataloader.dataset
    views, indices = sample_views(ViewDataset(dataset.source, dataset.views), images=8)
    assert len(set(indices)) == 8
    frozen = FrozenBackbone.wrap(load_backbone(result.backbone))
    features = frozen.pooled(views.flatten(0, 1)).view(8, 2, -1)
    for name, value in view_measures(features).items():
        assert last[f"diagnostics_{name}"] == pytest.approx(value, rel=1e-4), name
    log = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "diagnostics after 12 iterations:  alignment" in log


def test_it_needs_something_to_look_at() -> None:
    from dense_cl.engine.hooks import DiagnosticsHook

    for options in (dict(images=0), dict(interval=0), dict(queries="somewhere")):
        with pytest.raises(DenseCLError, match="DiagnosticsHook"):
            DiagnosticsHook(**options)
