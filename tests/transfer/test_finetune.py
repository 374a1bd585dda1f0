"""Fine-tuning end to end on tiny sets: what is trained, with what, and what is refused."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.paths import configs_dir
from dense_cl.report.compare_results import read_results
from dense_cl.transfer import detection_config as detection
from dense_cl.transfer.export import export_backbone
from dense_cl.transfer.finetune import finetune
from dense_cl.transfer.finetune_runner import _latest_checkpoint
from dense_cl.transfer.labels import check_photos, read_labels
from dense_cl.transfer.mmdet_setup import import_mmdet

from .coco_set import edit, write_set
from .files import NORMALIZATION, poisoned, pretrained

SMALL = "{}_resnet18_fpn_1xb4_cosine_1200i_small"
FASTER = SMALL.format("faster_rcnn")
KEEP = {"interval": 1, "max_keep_ckpts": 2}
TINY = {
    "train_cfg.max_iters": 2,
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "train_dataloader.dataset.filter_cfg.min_size": 8,
    "train_dataloader.dataset.pipeline.2.scale": (64, 64),
    "val_dataloader.num_workers": 0,
    "val_dataloader.persistent_workers": False,
    "val_dataloader.dataset.pipeline.1.scale": (64, 64),
}


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("backbone")
    pretrained(dict(type="ResNet", depth=18), folder / "c.pth")
    return export_backbone(folder / "c.pth", folder / "backbone")[1]


def saved(work_dir: Path) -> dict:
    return torch.load(work_dir / "iter_2.pth", weights_only=False)["state_dict"]


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn", "retinanet"])
def test_every_layer_of_the_backbone_starts_from_the_file_and_trains(
    labels, backbone, tmp_path, detector, monkeypatch
):
    from dense_cl.transfer.hooks import LoadBackbone
    from dense_cl.transfer.weights_file import read_weights

    start = {}

    def remember(hook, runner, original=LoadBackbone.before_train):
        original(hook, runner)
        model = runner.model
        start.update({k: v.clone() for k, v in model.backbone.state_dict().items()})
        start["normalization"] = model.data_preprocessor.mean.flatten().tolist()
        start["classes"] = runner.train_dataloader.dataset.metainfo["classes"]

    monkeypatch.setattr(LoadBackbone, "before_train", remember)
    metrics = finetune(
        SMALL.format(detector), backbone, labels, labels, work_dir=tmp_path, cfg_options=TINY
    )
    assert start.pop("normalization") == NORMALIZATION["mean"]
    assert start.pop("classes") == ("red", "green", "blue")
    given = read_weights(backbone).state_dict
    assert start.keys() == given.keys()
    assert all(torch.equal(start[key], given[key]) for key in given)

    end = saved(tmp_path)
    still = [key for key in given if torch.equal(end[f"backbone.{key}"], given[key])]
    assert still == []  # weights, norm layers and their statistics: nothing is frozen

    expected = {"bbox_mAP", "segm_mAP"} if detector == "mask_rcnn" else {"bbox_mAP"}
    assert expected <= metrics.keys()
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["metrics"] == metrics and written["iter"] == 2
    assert written["train"]["images"] == 6 and len(written["backbone_sha256"]) == 64
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["settings"]["iterations"] == 2 and len(result["records"]) == 6
    assert result["backbone_sha256"] == written["backbone_sha256"]
    assert {"torch", "numpy", "mmcv", "mmdet", "pycocotools"} <= result["versions"].keys()
    assert all((tmp_path / r["pictures"][kind]).is_file() for r in result["records"]
               for kind in r["pictures"])  # fmt: skip
    assert metrics.keys() <= result["scores"].keys()


def test_a_frozen_backbone_stays_bit_identical_and_the_rest_trains(labels, backbone, tmp_path):
    from dense_cl.transfer.weights_file import read_weights

    options = TINY | {f"default_hooks.checkpoint.{k}": v for k, v in KEEP.items()}
    finetune(
        FASTER, backbone, labels, labels, work_dir=tmp_path, cfg_options=options,
        freeze_backbone=True,
    )  # fmt: skip
    given, end = read_weights(backbone).state_dict, saved(tmp_path)
    assert all(torch.equal(end[f"backbone.{key}"], value) for key, value in given.items())
    before = torch.load(tmp_path / "iter_1.pth", weights_only=False)["state_dict"]
    others = [key for key in end if not key.startswith("backbone.")]
    assert others and not [key for key in others if torch.equal(end[key], before[key])]
    assert json.loads((tmp_path / "metrics.json").read_text())["freeze_backbone"] is True
    assert json.loads((tmp_path / "result.json").read_text())["settings"]["freeze_backbone"] is True


def test_held_out_fraction_and_epochs_are_recorded(labels, tmp_path, capsys):
    options = {k: v for k, v in TINY.items() if k != "train_cfg.max_iters"}
    finetune(
        FASTER, "random", labels, fraction=50, seed=4, epochs=1,
        work_dir=tmp_path, cfg_options=options,
    )  # fmt: skip
    assert "20% of the images" in capsys.readouterr().out
    train, val = (
        {image["id"] for image in json.loads(path.read_text())["images"]}
        for path in (tmp_path / "labels" / "train.json", tmp_path / "labels" / "val.json")
    )
    assert len(val) == 1 and len(train) == 3 and not train & val
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["max_iters"] == 2  # 3 images in batches of 2
    assert (written["seed"], written["fraction"], written["backbone_sha256"]) == (4, 50, None)


def test_a_timm_backbone_is_fine_tuned_as_it_was_pretrained(labels, tmp_path):
    pretrained(dict(type="TimmBackbone", model_name="resnet10t"), tmp_path / "c.pth")
    file, _ = export_backbone(tmp_path / "c.pth", tmp_path / "b")
    config = "faster_rcnn_from_file_fpn_1xb4_cosine_1200i_small"
    finetune(config, file, labels, labels, work_dir=tmp_path / "w", cfg_options=TINY)
    given = torch.load(file, weights_only=True)["state_dict"]
    end = saved(tmp_path / "w")
    moved = [key for key in given if not torch.equal(end[f"backbone.model.{key}"], given[key])]
    assert len(moved) == len(given)


def test_the_latest_checkpoint_is_found_in_a_folder_that_was_moved(tmp_path):
    assert _latest_checkpoint(tmp_path) is None
    for number in (1, 2):
        file = tmp_path / f"iter_{number}.pth"
        file.touch()
        os.utime(file, (number, number))
    pointer = tmp_path / "last_checkpoint"
    (tmp_path / "best_bbox_mAP_iter_9.pth").touch()  # without what resuming needs
    for named, expected in (("/elsewhere/iter_1.pth", 1), ("", 2), ("gone_3.pth", 2)):
        pointer.write_text(named)
        assert _latest_checkpoint(tmp_path) == tmp_path / f"iter_{expected}.pth"
    other = tmp_path / "other" / "iter_3.pth"  # CheckpointHook's out_dir
    other.parent.mkdir()
    other.touch()
    pointer.write_text(str(other))
    assert _latest_checkpoint(tmp_path) == other


@pytest.mark.slow
def test_resume_goes_on(labels, backbone, tmp_path):
    run = dict(train=labels, val=labels, work_dir=tmp_path)
    finetune(FASTER, backbone, cfg_options=TINY, **run)
    longer = {**TINY, "train_cfg.max_iters": 3}
    finetune(FASTER, backbone, cfg_options=longer, resume=True, **run)
    assert json.loads((tmp_path / "metrics.json").read_text())["iter"] == 3
    # Killed before the last validation was written: it is done now.
    done = {name: (tmp_path / name).read_text() for name in ("result.json", "metrics.json")}
    assert json.loads(done["result.json"])["pretrained"] == ["backbone"]
    for name in done:
        (tmp_path / name).unlink()
    assert finetune(FASTER, backbone, cfg_options=longer, resume=True, **run)
    found, before = (
        json.loads(text)["scores"]
        for text in ((tmp_path / "result.json").read_text(), done["result.json"])
    )
    assert found == before
    # Another run is not gone on with.
    for other, said in (
        (dict(backbone="random"), "backbone was '.*' and is now 'random'"),
        (dict(seed=7), "randomness.seed was 0 and is now 7"),
        (dict(freeze_backbone=True), "freeze_backbone was False and is now True"),
        (dict(fraction=50), "training_data was"),
    ):
        arguments = dict(backbone=backbone, cfg_options=longer, resume=True, **run) | other
        with pytest.raises(DenseCLError, match=f"cannot resume from .*{said}"):
            finetune(FASTER, **arguments)


@pytest.mark.slow
def test_other_seeds_of_a_fraction_can_be_compared(labels, tmp_path):
    files = []
    for seed in (0, 1):
        folder = tmp_path / f"moco_seed{seed}"
        finetune(
            FASTER, "random", labels, labels, fraction=50, seed=seed, work_dir=folder,
            cfg_options=TINY,
        )  # fmt: skip
        files.append(str(folder / "result.json"))
    chosen = [
        json.loads((tmp_path / f"moco_seed{s}/labels/train.json").read_text()) for s in (0, 1)
    ]
    assert chosen[0]["images"] != chosen[1]["images"]
    assert [result.seed for result in read_results(files)] == [0, 1]


def refused(capsys, *arguments: object) -> str:
    assert main(["finetune", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_mistakes_on_the_command_line(labels, backbone, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))

    def message(config=FASTER, weights=backbone, *rest):
        return refused(
            capsys, config, "--backbone", weights, "--train", labels, "--work-dir", tmp_path, *rest
        )

    assert "Did you mean 'faster_rcnn_resnet18" in message(SMALL.format("faster_rcn"))
    assert "'nothing.pth' does not exist" in message(weights="nothing.pth")
    assert "download.pytorch.org/models/resnet18-" in message(weights="torchvision")
    assert "Did you mean 'max_iters'" in message(
        FASTER, backbone, "--cfg-options", "train_cfg.max_iter=3"
    )
    assert "has no 'trian_cfg'" in message(
        FASTER, backbone, "--cfg-options", "trian_cfg.max_iters=3"
    )
    assert "The file holds a ResNet-18, the model is a ResNet-50" in message(
        FASTER, backbone, "--cfg-options", "model.backbone.depth=50"
    )
    assert "epochs 0" in message(FASTER, backbone, "--epochs", "0")
    boxes = edit(labels, "b.json", lambda c: [a.pop("segmentation") for a in c["annotations"]])
    assert "have no mask" in refused(
        capsys, SMALL.format("mask_rcnn"), "--backbone", "random", "--train", boxes
    )


def test_mistakes_in_python(labels, tmp_path):
    (tmp_path / "file").touch()
    for options, message in (
        (dict(work_dir=tmp_path / "file"), "work folder .*file' cannot be written to"),
        (dict(seed=None), "seed is None; give a whole number"),
        (dict(seed=-1), "seed is -1"),
        (dict(backbone={"conv1.weight": torch.ones(1)}), "backbone is a dict"),
    ):
        with pytest.raises(DenseCLError, match=message):
            finetune(FASTER, **{"backbone": "random", "train": labels, "val": labels, **options})


def test_readers_end_with_the_run_and_name_what_they_cannot_read(tmp_path):
    workers = {f"{split}_dataloader.num_workers": 1 for split in ("train", "val")}
    options = TINY | workers | {f"{split}_dataloader.persistent_workers": True
                                for split in ("train", "val")}  # fmt: skip
    file = write_set(tmp_path / "set")
    before = set(multiprocessing.active_children())
    run = dict(train=file, val=file, cfg_options=options)
    finetune(FASTER, "random", work_dir=tmp_path / "a", **run)
    assert set(multiprocessing.active_children()) <= before
    photo = tmp_path / "set" / "images" / "002.png"
    photo.write_bytes(photo.read_bytes()[:60])
    check_photos(read_labels(file))  # the header is whole
    with pytest.raises(DenseCLError, match="image '.*002.png' cannot be read"):
        finetune(FASTER, "random", work_dir=tmp_path / "b", **run)
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused(labels, tmp_path, capsys, zipped):
    file = poisoned(tmp_path / "bad.pth", tmp_path / "marker", zipped)
    text = refused(
        capsys, FASTER, "--backbone", file, "--train", labels,
        "--work-dir", tmp_path / "w",
    )  # fmt: skip
    assert str(file) in text and "refused" in text
    assert not (tmp_path / "marker").exists() and not (tmp_path / "w").exists()


def test_a_poisoned_checkpoint_is_not_resumed(labels, tmp_path, capsys):
    file = poisoned(tmp_path / "iter_1.pth", tmp_path / "marker", True)
    (tmp_path / "last_checkpoint").write_text(str(file))
    text = refused(
        capsys, FASTER, "--backbone", "random", "--train", labels,
        "--work-dir", tmp_path, "--resume", "--cfg-options",
        *(f"{key}={value}" for key, value in TINY.items()),
    )  # fmt: skip
    assert str(file) in text and not (tmp_path / "marker").exists()


def config(**model) -> Config:
    import_mmdet()
    base = dict(type="D", backbone=dict(type="ResNet", depth=18), data_preprocessor=dict())
    return Config(dict(model={**base, **model}))


@pytest.mark.parametrize(("order", "flip"), [("RGB", True), ("BGR", False)])
def test_normalization_and_channel_order(order, flip):
    cfg = config()
    detection.set_normalization(cfg, {**NORMALIZATION, "channel_order": order})
    assert cfg.model.data_preprocessor == dict(
        mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0], bgr_to_rgb=flip, rgb_to_bgr=False
    )
    for wrong in ({"mean": []}, {"std": [1, 0, 1]}, {"channel_order": "HSV"}):
        with pytest.raises(DenseCLError, match="is not usable"):
            detection.set_normalization(cfg, {**NORMALIZATION, **wrong})


def test_rules_for_self_supervised_weights_reach_foreign_configs():
    elsewhere = dict(type="Pretrained", checkpoint="http://x")
    frozen = dict(type="ResNet", depth=18, frozen_stages=1, norm_eval=True, init_cfg=elsewhere)
    cfg = config(backbone=frozen, neck=dict(norm_cfg=dict(type="SyncBN")))
    detection.set_backbone(cfg, None)
    detection.set_norm_layers(cfg, distributed=False)
    assert cfg.model.backbone == dict(
        type="ResNet", depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None
    )
    assert cfg.model.neck.norm_cfg.type == "BN"


def test_nothing_is_frozen_where_a_config_does_not_say_so():
    import_mmdet()
    from mmdet.registry import MODELS

    for backbone, none in (
        (dict(type="mmdet.RegNet", arch="regnetx_400mf"), -1),  # norm_eval=True by default
        (dict(type="Darknet", depth=53), -1),
        (dict(type="EfficientNet", arch="b0", frozen_stages=3), 0),
    ):
        cfg = config(backbone=backbone)
        detection.set_backbone(cfg, None)
        assert cfg.model.backbone == backbone | dict(frozen_stages=none, norm_eval=False)
        built = MODELS.build(cfg.model.backbone | dict(_scope_="mmdet"))
        built.train()
        norms = [m for m in built.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert norms and all(norm.training for norm in norms)
        assert all(parameter.requires_grad for parameter in built.parameters())


def test_weights_from_elsewhere_are_not_loaded_however_deep_a_config_names_them():
    elsewhere = dict(type="Pretrained", checkpoint="http://x")
    drawn = [dict(type="Normal", std=0.01)]
    cfg = config(
        pretrained="http://x",
        init_cfg=[elsewhere],
        neck=dict(rfp_backbone=dict(pretrained="torchvision://resnet50", init_cfg=elsewhere)),
        heads=[dict(init_cfg=drawn)],
    )
    detection.set_backbone(cfg, None)
    assert cfg.model.init_cfg is None and "pretrained" not in cfg.model
    assert cfg.model.neck == dict(rfp_backbone=dict(init_cfg=None))
    assert cfg.model.heads == [dict(init_cfg=drawn)]


def test_pyramid_takes_the_channels_of_any_backbone_and_refuses_other_strides():
    vit = dict(type="TimmBackbone", model_name="vit_tiny_patch16_224")
    cfg = config(backbone=vit, neck=dict(type="FPN", in_channels=[1]))
    with pytest.raises(DenseCLError, match=r"strides \(16, 16, 16, 16\).*pyramid=True"):
        detection.set_backbone(cfg, None)
    cfg.model.backbone.pyramid = True
    detection.set_backbone(cfg, None)
    assert cfg.model.neck.in_channels == [192] * 4


def test_options_go_on_top_of_the_architecture_of_the_file():
    cfg = config(backbone=dict(type="FromFile", pyramid=True), neck=dict(type="FPN"))
    vit = dict(type="TimmBackbone", model_name="vit_tiny_patch16_224", pretrained=True)
    detection.set_backbone(cfg, vit)  # nothing is downloaded for it again
    assert cfg.model.backbone == dict(
        type="dense_cl.TimmBackbone", model_name="vit_tiny_patch16_224", pyramid=True
    )
    with pytest.raises(DenseCLError, match="takes its architecture from an exported backbone"):
        detection.set_backbone(config(backbone=dict(type="FromFile")), None)


def test_plain_mmdetection_knows_our_types():
    import_mmdet()
    from mmdet.registry import HOOKS, MODELS

    assert HOOKS.build(dict(type="dense_cl.LoadBackbone", file="b.pth")).file == "b.pth"
    for name in ("TimmBackbone", "dense_cl.TimmBackbone"):
        assert MODELS.build(dict(type=name, model_name="resnet10t")).strides == (4, 8, 16, 32)


def test_epochs_are_of_all_processes(monkeypatch):
    cfg = Config.fromfile(configs_dir() / "finetune/faster_rcnn_resnet50_c4_8xb2_step_24k_voc.py")
    monkeypatch.setenv("WORLD_SIZE", "8")
    detection.set_epochs(cfg, 23, images=16_551)
    assert cfg.train_cfg.max_iters == 23 * 8276  # alone, whatever the environment says
    cfg.launcher = "pytorch"
    detection.set_epochs(cfg, 23, images=16_551)
    assert cfg.train_cfg.max_iters == 23 * 1035


def test_epochs_scale_the_schedule():
    cfg = Config.fromfile(configs_dir() / "finetune" / f"{FASTER}.py")
    detection.set_epochs(cfg, 3, images=1601)
    assert cfg.train_cfg.max_iters == cfg.train_cfg.val_interval == 1203
    detection.set_epochs(cfg, 6, images=1601)
    warmup, cosine = cfg.param_scheduler
    assert (warmup.end, cosine.begin, cosine.end) == (120, 120, 2406)
    cfg = Config.fromfile(configs_dir() / "finetune/mask_rcnn_resnet50_fpn_8xb2_step_12e_coco.py")
    detection.set_epochs(cfg, 24, images=5)
    assert cfg.train_cfg.max_epochs == 24 and cfg.param_scheduler[1].milestones == [16, 22]
    assert cfg.param_scheduler[0].end == 500


RECIPES = sorted((configs_dir() / "finetune").glob("*.py"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_say_how_to_run_them_and_freeze_nothing(path):
    text = path.read_text()
    assert all(f"{word}:" in text for word in ("Cost", "Expected")) or "from_file" in path.stem
    assert text.count(path.stem) >= 1  # its own command
    cfg = Config.fromfile(path)
    backbone = cfg.model.backbone
    if backbone.type != "FromFile":
        assert (backbone.frozen_stages, backbone.norm_eval, backbone.init_cfg) == (-1, False, None)
        assert backbone.norm_cfg == dict(type="BN", requires_grad=True)
    if "_c4_" in path.stem:
        shared_head = cfg.model.roi_head.shared_head
        assert (shared_head.norm_eval, shared_head.init_cfg) == (False, None)
        assert backbone.style == shared_head.style == "pytorch"
        assert shared_head.norm_cfg == backbone.norm_cfg
    else:
        assert "norm_cfg" in cfg.model.neck
    batch = int(path.stem.split("xb")[1].split("_")[0])
    assert cfg.train_dataloader.batch_size == batch
    length = cfg.train_cfg.get("max_iters") or cfg.train_cfg.max_epochs
    assert cfg.param_scheduler[-1].end == length
    if "_tiny" in path.stem:
        loaders = cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader
        steps = [step for loader in loaders for step in loader.dataset.pipeline]
        assert [s.scale for s in steps if s.type == "Resize"] == [(160, 160)] * 3
        assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == length
    if detection.is_panoptic(cfg):
        assert cfg.train_dataloader.dataset.pipeline[1].type == "LoadPanopticAnnotations"
        return
    masks = detection.needs_masks(cfg)
    assert cfg.train_dataloader.dataset.pipeline[1].get("with_mask", False) == masks
    assert ("segm" in cfg.val_evaluator.metric) == masks
