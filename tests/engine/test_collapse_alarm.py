"""The collapse recipes collapse and are announced; their healthy twins are not."""

import json
from pathlib import Path

import pytest

from dense_cl import pretrain
from dense_cl.engine.config import load_config
from dense_cl.engine.config_check import check_config
from tests.engine.tiny import tiny_config, write_images

SMALL = "resnet18_1xb32_cosine_40e_voc_animals"
COLLAPSE = {
    "byol": "byol_resnet18_1xb32_cosine_1e_voc_animals_collapse",
    "simsiam": "simsiam_resnet18_1xb32_cosine_5e_voc_animals_collapse",
}

LR = 2e-2  # high enough for a toy to collapse within tens of steps


@pytest.fixture(scope="module")
def many_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("many"), 64)


def run(recipe: str, photos: Path, work_dir: Path, iterations: int = 90) -> list[dict]:
    """Train the recipe's objective on a toy backbone; return the alarms."""
    leaf = load_config(recipe)
    check_config(leaf)
    cfg = tiny_config(photos, work_dir)
    cfg.model.objectives, cfg.model.target = leaf.model.objectives, leaf.model.target
    cfg.optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=LR))
    cfg.param_scheduler = []
    cfg.train_dataloader.batch_size = 32
    cfg.train_cfg = dict(type="PretrainLoop", max_iters=iterations)
    cfg.default_hooks.checkpoint = dict(interval=1000)
    pretrain(cfg)
    return json.loads((work_dir / "summary.json").read_text())["alarms"]


@pytest.mark.parametrize(
    ("method", "symptom", "says"),
    [
        ("byol", "byol_projection_std", "complete collapse"),
        ("simsiam", "simsiam_projection_rank", "dimensional collapse"),
    ],
)
def test_alarm_with_the_default_patience(
    method: str, symptom: str, says: str, many_photos: Path, tmp_path: Path
) -> None:
    alarms = run(COLLAPSE[method], many_photos, tmp_path / "collapse")
    by_symptom = {alarm["symptom"]: alarm for alarm in alarms}
    assert symptom in by_symptom, alarms
    assert says in by_symptom[symptom]["message"]
    assert run(f"{method}_{SMALL}", many_photos, tmp_path / "healthy") == []
