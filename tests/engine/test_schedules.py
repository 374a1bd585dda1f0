"""Learning rates over a run are the authors', as the engine sets them; and they scale."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import MultiStepLR

from dense_cl import pretrain
from dense_cl.engine.config import load_config
from dense_cl.engine.warmup_cosine import WarmupCosineLR, warmup_cosine
from dense_cl.errors import DenseCLError
from tests.engine.interrupt import SAVE_OFTEN, PowerCut, differences, final_state
from tests.engine.tiny import tiny_config


def rates(schedule, lr, steps, **options):
    """What the optimiser has at steps 0, 1, ... of a run."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    wrapper = OptimWrapper(torch.optim.SGD([parameter], lr=lr))
    scheduler = schedule(wrapper, **options)
    seen = []
    for _ in range(steps):
        seen.append(wrapper.param_groups[0]["lr"])
        wrapper.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("case", [1, 2])
def test_golden_by_epoch(golden, case):
    data = golden(f"lr_schedule_{case}")
    lr, total, warmup = (data[n].item() for n in ("base_lr", "total_epochs", "warmup_epochs"))
    close = dict(rel=1e-8, abs=1e-15)
    mine = rates(WarmupCosineLR, lr, total, warmup=warmup, end=total)
    assert mine == pytest.approx(data["expected_mocov3_lr"][:total].tolist(), **close)
    mine = rates(WarmupCosineLR, lr, total, end=total)
    assert mine == pytest.approx(data["expected_moco_cosine_lr"][:total].tolist(), **close)
    milestones = data["moco_milestones"].tolist()
    mine = rates(MultiStepLR, lr, total, milestones=milestones, end=total)
    assert mine == pytest.approx(data["expected_moco_step_lr"][:total].tolist(), **close)


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize(
    ("name", "factor", "end_ratio"),
    [
        ("barlow_lr_weights", 0.2, 0.001),
        ("barlow_lr_biases", 0.0048, 0.001),
        ("vicreg_lr", None, 0.001),
        ("vicregl_lr", None, "end_lr_ratio"),
        ("detcon_byol_lr", None, 0.0),
    ],
)
def test_golden_by_iteration(golden, case, name, factor, end_ratio):
    """Barlow Twins has a base of 1 and factors for weights and biases."""
    data = golden(f"lr_schedule_{case}")
    per_epoch, epochs = data["iters_per_epoch"].item(), data["total_epochs"].item()
    # Barlow Twins and VICReg have ten epochs of warm-up in their code.
    warmup = data["warmup_epochs"].item() if name in ("vicregl_lr", "detcon_byol_lr") else 10
    end_ratio = data[end_ratio].item() if isinstance(end_ratio, str) else end_ratio
    lr = (factor or data["base_lr"].item()) * data["batch_size"].item() / 256
    parameter = torch.nn.Parameter(torch.zeros(1))
    wrapper = OptimWrapper(torch.optim.SGD([parameter], lr=lr))
    scheduler = WarmupCosineLR.build_iter_from_epoch(
        optimizer=wrapper, epoch_length=per_epoch, end=epochs, warmup=warmup, end_ratio=end_ratio
    )
    mine = []
    for _ in range(per_epoch * epochs):
        mine.append(wrapper.param_groups[0]["lr"])
        wrapper.step()
        scheduler.step()
    expected = data[f"expected_{name}"].tolist()
    mine = [mine[step] for step in data["steps"].tolist()]
    assert mine == pytest.approx(expected, rel=1e-8, abs=1e-15)


def test_closed_form():
    assert [warmup_cosine(k, 14, 4, 0.2) for k in (0, 1, 4, 9, 14)] == pytest.approx(
        [0, 0.25, 1, 0.6, 0.2]
    )


@pytest.mark.parametrize("warmup", [-1, 3])
def test_a_warmup_that_does_not_fit_is_refused(photos, tmp_path, warmup):
    cfg = tiny_config(photos, tmp_path)
    cfg.param_scheduler = [dict(type="WarmupCosineLR", warmup=warmup)]
    with pytest.raises(DenseCLError, match=f"warm-up of {warmup} epochs does not fit"):
        pretrain(cfg)


def paper_schedule(photos, work_dir, **changes):
    """The schedule of the LARS recipes, one epoch of warm-up."""
    cfg = tiny_config(photos, work_dir, **SAVE_OFTEN, **changes)
    cfg.default_hooks.checkpoint.keep = 20
    recipe = load_config("byol_resnet50_16xb256_cosine_1000e_imagenet")
    cfg.optim_wrapper, cfg.param_scheduler = recipe.optim_wrapper, recipe.param_scheduler
    cfg.param_scheduler[0].warmup = 1
    return cfg


def saved_rate(work_dir, iteration):
    path = work_dir / f"checkpoints/iter_{iteration}.pth"
    return torch.load(path, weights_only=True)["optimizer"]["param_groups"][0]["lr"]


def test_a_run_follows_it_and_resumes_exactly(photos, tmp_path):
    pretrain(paper_schedule(photos, tmp_path / "whole"))
    for iteration in range(1, 12):  # 3 epochs of 4 iterations; the rate of the next one is saved
        expected = 3.2 * warmup_cosine(iteration, 12, 4)
        assert saved_rate(tmp_path / "whole", iteration) == pytest.approx(expected)
    cut = paper_schedule(photos, tmp_path / "cut")
    cut.custom_hooks = [dict(type="ActAtIteration", iteration=5, action="cut")]
    with pytest.raises(PowerCut):
        pretrain(cut)
    pretrain(paper_schedule(photos, tmp_path / "cut"), resume="auto")
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "cut")) == []


def test_one_setting_scales_the_rate_by_the_images_of_a_step(photos, tmp_path):
    """4 images, accumulated twice, for a rate of 16: half of it; groups keep their ratios."""
    cfg = tiny_config(photos, tmp_path, **SAVE_OFTEN, optim_wrapper__accumulative_counts=2)
    cfg.param_scheduler = []
    cfg.optim_wrapper.paramwise_cfg = dict(custom_keys={"backbone.": dict(lr_mult=0.1)})
    cfg.auto_scale_lr = dict(enable=False, base_batch_size=16)
    pretrain(cfg, cfg_options={"auto_scale_lr.enable": True})
    groups = final_state(tmp_path)["optimizer"]["param_groups"]
    assert {round(group["lr"], 12) for group in groups} == {0.025, 0.0025}
