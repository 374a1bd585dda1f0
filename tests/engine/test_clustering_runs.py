"""Runs of methods that cluster the data set: first look, epochs, exact resume, streams."""

import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from dense_cl import pretrain
from dense_cl.errors import DenseCLError
from dense_cl.losses.cluster_prediction import IGNORED
from tests.engine.interrupt import SAVE_OFTEN, PowerCut, differences, final_state, with_action
from tests.engine.tiny import DEEPCLUSTER, SWAV, clustering_config

MEMORY = "objectives.deepcluster_v2."


def config(objective: dict[str, Any], photos: Path, work_dir: Path, **changes: Any) -> Config:
    return clustering_config([objective], photos, work_dir, **SAVE_OFTEN, **changes)


@pytest.fixture(scope="module", params=[SWAV, DEEPCLUSTER], ids=["swav", "deepcluster_v2"])
def reference(request: pytest.FixtureRequest, photos: Path, tmp_path_factory: Any) -> Any:
    """The undisturbed run."""
    work_dir = tmp_path_factory.mktemp("reference")
    pretrain(config(request.param, photos, work_dir))
    return request.param, final_state(work_dir)


# Before anything was saved, at an epoch's end before the clustering of the next, just after it,
# and in the middle of an epoch.
@pytest.mark.parametrize("iteration", [0, 4, 5, 7])
def test_cut_and_resumed_run_is_bit_identical(
    reference: Any, photos: Path, tmp_path: Path, iteration: int
) -> None:
    objective, expected = reference
    with pytest.raises(PowerCut):
        pretrain(with_action(config(objective, photos, tmp_path), iteration, "cut"))
    torch.manual_seed(1234)  # whatever the new process happens to start with
    pretrain(config(objective, photos, tmp_path), resume="auto")
    assert differences(expected, final_state(tmp_path)) == []


def test_a_new_epoch_clusters_anew(photos: Path, tmp_path: Path) -> None:
    pretrain(config(DEEPCLUSTER, photos, tmp_path))
    saved = tmp_path / "checkpoints"
    # iter_11.pth and iter_12.pth are kept: of one epoch, with one clustering.
    before, after = (
        torch.load(saved / f"iter_{n}.pth", weights_only=True)["state_dict"] for n in (11, 12)
    )
    assert torch.equal(before[MEMORY + "assignments"], after[MEMORY + "assignments"])
    assert torch.equal(before[MEMORY + "centroids"], after[MEMORY + "centroids"])
    changed = (before[MEMORY + "memory"] != after[MEMORY + "memory"]).any(dim=2)
    assert changed.sum(dim=1).tolist() == [4, 4]  # the batch of the last iteration
    short = tmp_path / "short"
    pretrain(config(DEEPCLUSTER, photos, short, train_cfg__max_epochs=2))
    earlier = final_state(short)["state_dict"]
    assert not torch.equal(earlier[MEMORY + "centroids"], after[MEMORY + "centroids"])


def test_the_first_look_trains_nothing_and_fills_the_memory(photos: Path, tmp_path: Path) -> None:
    """Without training afterwards, the weights are the initial ones and clusters are there."""
    cfg = config(DEEPCLUSTER, photos, tmp_path, optim_wrapper__optimizer=dict(type="SGD", lr=0.0))
    cfg.train_cfg = dict(type="PretrainLoop", max_iters=1)
    pretrain(cfg)
    state = final_state(tmp_path)["state_dict"]
    # 18 photos: the look sees four batches of four.
    seen = state[MEMORY + "memory"][0].any(dim=1)
    assert int(seen.sum()) in (16, 17, 18)  # one iteration of another order came after it
    clustered = state[MEMORY + "assignments"] != IGNORED
    assert clustered.sum(dim=1).tolist() == [16, 16]
    plain = config(
        SWAV, photos, tmp_path / "plain", optim_wrapper__optimizer=cfg.optim_wrapper.optimizer
    )
    plain.train_cfg = cfg.train_cfg
    pretrain(plain)
    weights = final_state(tmp_path / "plain")["state_dict"]
    for name in ("backbone.shallow.0.weight", "backbone.deep.0.weight"):
        assert torch.equal(state[name], weights[name])


def test_an_unreadable_image_has_no_cluster(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "003.jpg").write_bytes(b"no picture")
    cfg = config(DEEPCLUSTER, folder, tmp_path / "run", default_hooks__quarantine=dict(limit=0.5))
    pretrain(cfg)
    state = final_state(tmp_path / "run")["state_dict"]
    seen = state[MEMORY + "memory"][0].any(dim=1)
    assert not seen[3] and seen.sum() == 17
    assert (state[MEMORY + "assignments"][:, 3] == IGNORED).all()


def test_a_stream_is_refused(photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for path in sorted(photos.iterdir()):
            archive.add(path, arcname=path.name)
    cfg = config(DEEPCLUSTER, photos, tmp_path / "run")
    cfg.train_dataloader.dataset.type = "StreamViewDataset"
    cfg.train_dataloader.dataset.source = dict(
        type="WebDatasetSource", shards=str(tmp_path / "0.tar"), epoch_size=18, shuffle_buffer=4
    )
    with pytest.raises(DenseCLError, match="which a stream does not have"):
        pretrain(cfg)


@pytest.mark.parametrize(
    ("objective", "typo", "right"),
    [
        (SWAV, "num_prototype", "num_prototypes"),
        (SWAV, "freeze_step", "freeze_steps"),
        (DEEPCLUSTER, "num_cluster", "num_clusters"),
        (DEEPCLUSTER, "kmeans_iteration", "kmeans_iterations"),
    ],
)
def test_misspelt_options_fail(
    objective: dict[str, Any], typo: str, right: str, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(DenseCLError, match=f"Did you mean '{right}'"):
        pretrain(config(dict(objective, **{typo: 5}), photos, tmp_path))
