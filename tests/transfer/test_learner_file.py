"""The whole model out of a checkpoint: exact, and without running what is written there."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from dense_cl import pretrain
from dense_cl.engine.config import load_config
from dense_cl.errors import DenseCLError
from dense_cl.paths import configs_dir
from dense_cl.transfer.learner_file import load_learner, read_recipe
from tests.engine.tiny import tiny_config, write_images


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = write_images(tmp_path_factory.mktemp("photos"), 8)
    cfg = tiny_config(photos, tmp_path_factory.mktemp("run"), train_cfg__max_epochs=1)
    return pretrain(cfg).checkpoint


def changed(checkpoint: Path, folder: Path, old: str, new: str) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    assert old in content["meta"]["config"]
    content["meta"]["config"] = content["meta"]["config"].replace(old, new)
    torch.save(content, folder / "changed.pth")
    return folder / "changed.pth"


def test_all_weights_and_the_views(checkpoint: Path) -> None:
    pretrained = load_learner(checkpoint)
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    mine = pretrained.learner.state_dict()
    assert mine.keys() == saved.keys()
    assert all(torch.equal(mine[key], saved[key]) for key in saved)
    assert pretrained.views[0]["size"] == (32, 32)


LEAVES = [
    path
    for path in configs_dir().glob("*/*.py")
    if path.parent.name not in ("_base_", "finetune", "segmentation")
]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda path: path.stem)
def test_every_recipe_is_read_as_it_was_written(leaf: Path) -> None:
    cfg = load_config(leaf)
    assert Config(read_recipe(cfg.pretty_text)).to_dict() == cfg.to_dict()


def test_code_in_a_recipe_is_not_run(checkpoint: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    call = f"temperature=open({str(marker)!r}, 'w')"
    with pytest.raises(DenseCLError, match="holds a call, which is not run"):
        load_learner(changed(checkpoint, tmp_path, "temperature=0.2", call))
    assert not marker.exists()


def test_types_from_elsewhere_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    for old, new in (("'TinyBackbone'", "'os.path.Evil'"), ("'ViewGroup'", "'subprocess.Popen'")):
        with pytest.raises(DenseCLError, match="is refused"):
            load_learner(changed(checkpoint, tmp_path, old, new))


def test_other_files_and_other_models(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="not a checkpoint of 'dense-cl pretrain'"):
        load_learner(checkpoint.parent.parent / "backbone.pth")
    with pytest.raises(DenseCLError, match="cannot be rebuilt"):
        load_learner(changed(checkpoint, tmp_path, "out_channels=8", "out_channels=9"))
