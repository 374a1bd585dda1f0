"""Every line of the table of ablations in docs/methods.md is accepted and runs."""

import re
from pathlib import Path

import pytest
import torch
from learners import random_data
from mmengine.optim import OptimWrapper

from dense_cl import pretrain
from dense_cl.engine.config import load_config, merge_options, parse_options
from dense_cl.engine.config_check import check_config
from dense_cl.registry import MODELS
from tests.engine.tiny import TinyBackbone, write_images

DOCS = Path(__file__).parents[2] / "docs/methods.md"


def table():
    """Pairs of recipe and option from the table of the section 'Ablations'."""
    section = DOCS.read_text().split("\n## Ablations\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and cells[2]:
            yield from ((recipe, option) for recipe in cells[1] for option in cells[2])


CASES = list(table())


def setting(cfg, key):
    """What a recipe says under a dotted key, None for nothing."""
    for part in key.split("."):
        cfg = cfg[int(part)] if isinstance(cfg, list) else cfg.get(part)
    return cfg


def test_the_table_has_what_the_literature_turns_on():
    options = " ".join(option for _, option in CASES)
    for word in (
        "predictor.num_layers=0", "ema_decay=0.0", "stop_gradient=False", "head.num_layers=0",
        "head.num_layers=3", "temperature=", "queue_size=", "batch_size=", "transforms=[]",
    ):  # fmt: skip
        assert word in options, word


def ablated(recipe, option):
    """The recipe with the line in it, checked, with a small backbone where the line allows."""
    cfg = load_config(f"{recipe}_1xb32_cosine_40e_voc_animals")
    if cfg.model.backbone.type == "ResNet":
        cfg.model.backbone = dict(type=TinyBackbone.__name__)
    (key, value), *more = parse_options([option]).items()
    assert not more and setting(cfg, key) != value
    merge_options(cfg, {key: value})
    check_config(cfg)
    assert setting(cfg, key) == value
    return cfg


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("photos"), 18)


@pytest.mark.parametrize(("recipe", "option"), [c for c in CASES if c[1].startswith("model.")])
def test_a_line_on_the_model(recipe, option):
    torch.manual_seed(0)
    learner = MODELS.build(ablated(recipe, option).model)
    learner.total_steps = 1
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.01))
    before = {n: p.detach().clone() for n, p in learner.backbone.named_parameters()}
    terms = learner.train_step(random_data(4), wrapper)
    assert terms["loss"].isfinite()
    assert any(not torch.equal(learner.backbone.get_parameter(n), p) for n, p in before.items())


@pytest.mark.parametrize(("recipe", "option"), [c for c in CASES if not c[1].startswith("model.")])
def test_a_line_on_the_data(photos, tmp_path, recipe, option):
    cfg = ablated(recipe, option)
    cfg.train_dataloader.num_workers = 0
    cfg.train_dataloader.batch_size = min(cfg.train_dataloader.batch_size, 16)
    cfg.train_dataloader.dataset.views[0].size = (32, 32)
    cfg.train_cfg = dict(type="PretrainLoop", max_iters=1)
    cfg.param_scheduler = []
    assert pretrain(cfg, data=photos, work_dir=tmp_path, amp=False).backbone.is_file()
