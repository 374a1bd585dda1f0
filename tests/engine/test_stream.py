"""Runs on a stream of shards: length, position and exact resume."""

import tarfile
from pathlib import Path
from typing import Any

import pytest

from dense_cl import pretrain
from dense_cl.engine.checkpoint import load_checkpoint
from dense_cl.errors import DenseCLError
from tests.engine.interrupt import PowerCut, differences, final_state, with_action
from tests.engine.tiny import tiny_config


@pytest.fixture(scope="module")
def shards(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three shards of six photos."""
    folder = tmp_path_factory.mktemp("shards")
    files = sorted(photos.iterdir())
    for number in range(3):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for path in files[6 * number : 6 * number + 6]:
                archive.add(path, arcname=path.name)
    return str(folder / "{0..2}.tar")


def stream_config(shards: str, work_dir: Path, epoch_size: int, **changes: Any) -> Any:
    cfg = tiny_config("", work_dir, **changes)
    cfg.train_dataloader.dataset.type = "StreamViewDataset"
    cfg.train_dataloader.dataset.source = dict(
        type="WebDatasetSource", shards=shards, epoch_size=epoch_size, shuffle_buffer=4
    )
    cfg.default_hooks.checkpoint = dict(interval=1, by_epoch=False)
    return cfg


@pytest.mark.parametrize("workers", [0, 2])
def test_cut_and_resumed_stream_is_bit_identical(shards: str, tmp_path: Path, workers: int) -> None:
    # Two workers read 12 and 6 photos: three batches and one, of the four that make an epoch.
    changes = dict(train_dataloader__num_workers=workers)
    pretrain(stream_config(shards, tmp_path / "whole", 18, **changes))
    pieces = tmp_path / "pieces"
    for iteration in (2, 6):
        with pytest.raises(PowerCut):
            cfg = stream_config(shards, pieces, 18, **changes)
            pretrain(with_action(cfg, iteration, "cut"), resume="auto")
    pretrain(stream_config(shards, pieces, 18, **changes), resume="auto")
    expected, state = final_state(tmp_path / "whole"), final_state(pieces)
    assert state["loop"]["iter"] == 12
    assert differences(expected, state) == []


def test_an_epoch_longer_than_the_shards_goes_over_them_again(shards: str, tmp_path: Path) -> None:
    result = pretrain(stream_config(shards, tmp_path, 40, train_cfg__max_epochs=1))
    assert load_checkpoint(result.checkpoint)["loop"]["iter"] == 10


def test_a_stream_that_fills_no_batch_is_an_error(shards: str, tmp_path: Path) -> None:
    cfg = stream_config(shards, tmp_path, 40, train_dataloader__batch_size=20)
    with pytest.raises(DenseCLError, match="does not fill one batch"):
        pretrain(cfg)
