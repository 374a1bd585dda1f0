"""Every typo fails before anything is built, and the message names the right word."""

import re
from pathlib import Path
from typing import Any

import pytest

from dense_cl.engine.amp import apply_amp
from dense_cl.engine.config import apply_options, load_config, parse_options
from dense_cl.engine.config_check import check_config
from dense_cl.engine.pretrain import pretrain
from dense_cl.errors import DenseCLError
from dense_cl.paths import configs_dir
from tests.engine.tiny import tiny_config

RECIPES = sorted(
    path
    for path in configs_dir().glob("*/*.py")
    if path.parent.name not in ("_base_", "finetune", "segmentation")
)
VIEW = "train_dataloader.dataset.views.0"
TYPOS = {
    "modle.shuffle_bn": "'model'",
    "model.type": "'Learner'",
    "model.shufle_bn": "'shuffle_bn'",
    "model.backbone.type": "'TinyBackbone'",
    "model.target.ema_decya": "'ema_decay'",
    "model.data_preprocessor.men": "'mean'",
    "model.objectives.0.type": "'InfoNCE'",
    "model.objectives.0.temprature": "'temperature'",
    "model.objectives.1.head.hiden_channels": "'hidden_channels'",
    "model.objectives.1.head.type": "'DenseMLPHead'",
    "model.objectives.1.correspondence.type": "'FeatureArgmax'",
    "train_dataloader.batch_sise": "'batch_size'",
    "train_dataloader.num_worker": "'num_workers'",
    "train_dataloader.dataset.type": "'ViewDataset'",
    "train_dataloader.dataset.source.type": "'FolderSource'",
    "train_dataloader.dataset.source.rot": "'root'",
    f"{VIEW}.cuont": "'count'",
    "train_dataloader.dataset.saliency.type": "'SpectralResidual'",
    f"{VIEW}.crop.scal": "'scale'",
    f"{VIEW}.crop.type": "'RandomResizedCrop'",
    f"{VIEW}.transforms.0.type": "'ColorJitter'",
    f"{VIEW}.transforms.0.brightnes": "'brightness'",
    "optim_wrapper.type": "'OptimWrapper'",
    "optim_wrapper.clip_gradd": "'clip_grad'",
    "optim_wrapper.optimizer.type": "'SGD'",
    "optim_wrapper.optimizer.momentun": "'momentum'",
    "param_scheduler.0.type": "'CosineAnnealingLR'",
    "param_scheduler.0.eta_mni": "'eta_min'",
    "train_cfg.type": "'PretrainLoop'",
    "train_cfg.max_epoch": "'max_epochs'",
    "default_hooks.chekpoint": "'checkpoint'",
    "default_hooks.checkpoint.intervall": "'interval'",
    "randomness.sed": "'seed'",
    "auto_scale_lr.enabled": "'enable'",
    "env_cfg.dist_cgf": "'dist_cfg'",
    "visualizer.vis_backnds": "'vis_backends'",
    "lunacher": "'launcher'",
}


def misspell(right: str) -> str:
    word = right.strip("'")
    return word[:-2] + word[-1] + word[-2]


@pytest.mark.parametrize(("key", "nearest"), TYPOS.items())
def test_typo_names_the_nearest(key: str, nearest: str, photos: Path, tmp_path: Path) -> None:
    value = misspell(nearest) if key.endswith(".type") else 1
    with pytest.raises(DenseCLError) as error:
        pretrain(tiny_config(photos, tmp_path / "run"), cfg_options={key: value})
    assert f"Did you mean {nearest}?" in str(error.value)
    assert str(error.value).count("\n") == 0, "one mistake, one line"
    assert not (tmp_path / "run").exists(), "nothing may have been started"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("train_dataloader.batch_size", "abc", "type int"),
        ("train_dataloader.batch_size", 2.5, "type int"),
        ("optim_wrapper.optimizer.lr", "high", "type float"),
        ("model.shuffle_bn", "yes", "type bool"),
        ("model.objectives.0.queue_size", "many", "type int"),
        ("model.objectives.0.weight", "half", "type float"),
        ("model.backbone", "resnet", "dict with a 'type'"),
        ("train_cfg.max_epochs", "ten", "type int"),
        ("amp", "maybe", "type bool"),
        ("model.objectives.7.temperature", 1, "Index 7"),
        ("train_cfg.max_epochs.x", 1, "max_epochs.x"),
    ],
)
def test_wrong_values(key: str, value: Any, expected: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match=expected) as error:
        pretrain(tiny_config(photos, tmp_path / "run"), cfg_options={key: value})
    assert key.split(".")[0] in str(error.value)


def test_several_mistakes_are_listed_together(photos: Path, tmp_path: Path) -> None:
    cfg = tiny_config(photos, tmp_path, model__shufle_bn=True, randomness__sed=1)
    cfg.pop("train_cfg")
    with pytest.raises(DenseCLError) as error:
        check_config(cfg)
    for word in ("'shuffle_bn'", "'seed'", "'train_cfg' is missing"):
        assert word in str(error.value)
    assert str(error.value).count("\n") == 2


def test_missing_arguments_are_named(photos: Path, tmp_path: Path) -> None:
    cfg = tiny_config(photos, tmp_path)
    del cfg.train_dataloader["batch_size"]
    del cfg.model.objectives[0].head["hidden_channels"]
    del cfg.train_dataloader.dataset.source["root"]
    with pytest.raises(DenseCLError) as error:
        check_config(cfg)
    assert "train_dataloader.batch_size is missing" in str(error.value)
    assert "train_dataloader.dataset.source.root is missing" in str(error.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_valid_and_documented(path: Path) -> None:
    cfg = load_config(path.stem)
    check_config(apply_options(cfg))
    text = path.read_text()
    assert text.startswith('"""')
    for word in ("Paper:", "Cost:", "Expected:", path.stem):
        assert word in text
    assert path.stem.startswith(f"{path.parent.name}_")
    backbone = cfg.model.backbone
    name = backbone.get("model_name", f"resnet{backbone.get('depth')}").split("_patch")[0]
    assert f"_{name}_" in path.stem
    assert f"xb{cfg.train_dataloader.batch_size}_" in path.stem
    processes, images = re.search(r"_(\d+)xb(\d+)_", path.stem).groups()
    assert cfg.auto_scale_lr.base_batch_size == int(processes) * int(images)
    assert f"_{cfg.train_cfg.max_epochs}e_" in path.stem


@pytest.mark.parametrize(
    "leaf", ["resnet18_1xb32_cosine_40e_voc_animals", "resnet50_8xb32_cosine_800e_coco"]
)
def test_moco_and_densecl_differ_only_in_objectives(leaf: str) -> None:
    moco, densecl = (load_config(f"{method}_{leaf}").to_dict() for method in ("moco_v2", "densecl"))
    assert moco["model"].pop("objectives") != densecl["model"].pop("objectives")
    assert moco == densecl


@pytest.mark.parametrize("name", ["runtime_info", "timer", "checkpoint"])
def test_hooks_that_a_run_cannot_do_without(name: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match=f"default_hooks.{name} is None; it should be a dict$"):
        pretrain(tiny_config(photos, tmp_path / "run"), cfg_options={f"default_hooks.{name}": None})


def test_options_are_parsed_like_mmengine_does() -> None:
    parsed = parse_options(["a.b=3", "c=[1,2.5,x]", "d=True", "e=text", "f=a=b", "g=[{'h': 1}]"])
    assert parsed == {
        "a.b": 3,
        "c": [1, 2.5, "x"],
        "d": True,
        "e": "text",
        "f": "a=b",
        "g": [{"h": 1}],
    }
    with pytest.raises(DenseCLError, match="key=value"):
        parse_options(["batch_size"])


def test_data_replace_the_source_and_keep_its_options(photos: Path, tmp_path: Path) -> None:
    cfg = tiny_config(photos, tmp_path)
    apply_options(cfg, data=photos)
    assert cfg.train_dataloader.dataset.source == dict(type="FolderSource", root=str(photos))
    key = "train_dataloader.dataset.source.epoch_size"
    with pytest.raises(DenseCLError, match=f"{key}=N"):
        apply_options(cfg, data="shard-{000..003}.tar")
    apply_options(cfg, data="shard-{000..003}.tar", cfg_options={key: 40})
    assert cfg.train_dataloader.dataset.type == "StreamViewDataset"
    assert cfg.train_dataloader.dataset.source.epoch_size == 40
    with pytest.raises(DenseCLError, match="no/such/folder"):
        apply_options(cfg, data="no/such/folder")
    with pytest.raises(DenseCLError, match="--data"):
        apply_options(cfg, annotations="labels.json")


def test_amp_follows_the_flag_then_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = dict(type="OptimWrapper", optimizer=dict(type="SGD"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for has_bfloat16, chosen in [(True, "AutocastOptimWrapper"), (False, "OptimWrapper")]:
        monkeypatch.setattr("dense_cl.engine.amp.cpu_has_bfloat16", lambda: has_bfloat16)  # noqa: B023
        assert apply_amp(plain, None)["type"] == chosen
        assert apply_amp(plain, True)["type"] == "AutocastOptimWrapper"
        assert apply_amp(plain, False)["type"] == "OptimWrapper"
    own = dict(plain, type="AmpOptimWrapper", dtype="float16")
    assert apply_amp(own, None) == own
    assert apply_amp(own, False) == plain


def test_unknown_recipe_and_broken_file(tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="moco_v2_resnet50_8xb32_cosine_800e_coco"):
        load_config("moco_v2_resnet50_8xb32_cosine_800e_cocoo")
    (tmp_path / "broken.py").write_text("model = dict(\n")
    with pytest.raises(DenseCLError, match="broken.py' cannot be read"):
        load_config(tmp_path / "broken.py")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # Classes without a constructor of their own take nothing at all.
        (
            "model.objectives.1.correspondence",
            dict(type="GeometricNearest", threshold=0.7),
            r"correspondence \(GeometricNearest\) has no 'threshold'",
        ),
        ("model.objectives.1.correspondence", dict(type="FeatureArgmax", kount=3), "no 'kount'"),
        (
            "train_dataloader.dataset.views.0.crop",
            dict(type="WholeImage", scale=(0.2, 1.0)),
            r"crop \(WholeImage\) has no 'scale'",
        ),
    ],
)
def test_options_of_another_type(
    key: str, value: Any, message: str, photos: Path, tmp_path: Path
) -> None:
    cfg = tiny_config(photos, tmp_path)
    cfg.merge_from_dict({key: dict(value, _delete_=True)})
    with pytest.raises(DenseCLError, match=message):
        check_config(cfg)


def test_what_cannot_be_differentiated_twice_is_refused(photos: Path, tmp_path: Path) -> None:
    cfg = tiny_config(photos, tmp_path, compile=True, activation_checkpointing=["backbone"])
    check_config(cfg)
    cfg.model.objectives.append(dict(type="GradCAMAttention", layer=-1))
    with pytest.raises(DenseCLError, match="torch.compile cannot differentiate twice"):
        check_config(cfg)
    cfg.pop("compile")
    check_config(cfg)
    cfg.model.objectives[-1]["layer"] = 0
    with pytest.raises(DenseCLError, match="or set layer=-1"):
        check_config(cfg)
