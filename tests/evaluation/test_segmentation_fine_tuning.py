"""Segmenters trained on pictures whose classes are colours, and what wrong input says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

pytest.importorskip("mmseg", reason="MMSegmentation (the extra 'segmentation') is not installed")

from dense_cl.cli import main
from dense_cl.evaluation.mask_folders import VOID, MaskFolders
from dense_cl.evaluation.results import counts_by_class
from dense_cl.evaluation.segmenter import config as segmenter
from dense_cl.evaluation.segmenter.evaluate import evaluate_segmentation_fine_tuning
from dense_cl.evaluation.segmenter.setup import import_mmseg
from dense_cl.paths import configs_dir
from dense_cl.report.compare_results import read_results
from dense_cl.transfer.export import export_backbone
from dense_cl.transfer.recipe import open_recipe
from dense_cl.transfer.weights_file import read_weights
from tests.transfer.files import NORMALIZATION, pretrained

SMALL = "fcn_resnet18_1xb8_cosine_300i_small"
COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], dtype=np.uint8)
IGNORE = 9
TINY = {
    "model.data_preprocessor.size": (64, 64),
    "train_dataloader.batch_size": 4,
    "train_dataloader.dataset.pipeline.2.scale": (64, 64),
    "train_dataloader.dataset.pipeline.3.crop_size": (64, 64),
    "test_dataloader.dataset.pipeline.1.scale": (64, 64),
    **{
        f"{split}_dataloader.{key}": value
        for split in ("train", "test")
        for key, value in (("num_workers", 0), ("persistent_workers", False))
    },
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Write squares of 32 pixels in random colours with a void border; test photos are larger."""
    root = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for split, side in (("train", 32), ("test", 40)):
        for index in range(6):
            mask = np.kron(
                rng.permutation([0, 1, 2, index % 3]).reshape(2, 2), np.ones((side,) * 2)
            )
            mask = mask.astype(np.uint8)
            image = COLOURS[mask]
            mask[:2] = IGNORE
            for array, kind, suffix in ((image, "images", "jpg"), (mask, "masks", "png")):
                file = root / kind / split / "deep" / f"{index}.{suffix}"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(file)
    (root / "names.txt").write_text("red\ngreen\nblue\n")
    return root


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("backbone")
    pretrained(dict(type="ResNet", depth=18), folder / "c.pth")
    return export_backbone(folder / "c.pth", folder / "backbone")[1]


def find(root: Path, split: str) -> MaskFolders:
    return MaskFolders.find(root / "images" / split, root / "masks" / split, 3, [IGNORE])


def arguments(root: Path) -> list[str]:
    return [f"--classes={root / 'names.txt'}", f"--ignore={IGNORE}"] + [
        f"--{split}-{kind}={root / kind / split}"
        for split in ("train", "test")
        for kind in ("images", "masks")
    ]


def options(**changes) -> list[str]:
    return ["--cfg-options", *(f"{key}={value}" for key, value in {**TINY, **changes}.items())]


def test_colours_are_learnt_and_the_result_can_be_compared(folders, tmp_path, capsys):
    out = tmp_path / "results" / "random_seed3.json"
    status = main([
        "evaluate", "segmentation-fine-tuning", SMALL, "--backbone", "random", "--seed", "3",
        *arguments(folders), "--iterations", "40", "--work-dir", str(tmp_path / "w"),
        "--out", str(out), *options(),
    ])  # fmt: skip
    assert status == 0
    result = json.loads(out.read_text())
    # Logits of 8 pixels round the corners of the squares; nothing else can go wrong.
    assert result["mean_iou"] > 0.85
    assert f"{100 * result['mean_iou']:.1f}" in capsys.readouterr().out
    assert set(result["iou"]) == {"red", "green", "blue"}
    counts = counts_by_class(result)
    assert counts[:, 1].sum(axis=1).tolist() == [78 * 80] * 6  # the masks' own size, no void
    (read,) = read_results([str(out)])
    assert (read.task, read.method, read.seed) == ("segmentation-fine-tuning", "random", 3)
    assert read.scores["mean_iou"] == result["scores"]["mean_iou"] == result["mean_iou"]
    assert result["settings"]["images"] == {"train": 6, "test": 6}
    for record in result["records"]:
        with Image.open(out.parent / record["pictures"]["segmentation"]) as picture:
            assert picture.size == (240, 240)


@pytest.mark.slow
def test_two_processes_name_the_pictures_of_both(folders, tmp_path):
    out = tmp_path / "r" / "x.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
            "-m", "dense_cl.cli", "evaluate", "segmentation-fine-tuning", SMALL,
            "--launcher=pytorch", "--backbone=random", *arguments(folders), "--iterations=2",
            f"--work-dir={tmp_path / 'w'}", f"--out={out}", *options(),
        ],
        env=dict(os.environ, OMP_NUM_THREADS="1"), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    records = json.loads(out.read_text())["records"]
    assert len(records) == 6  # evenly between both
    for record in records:
        for picture in (record["pictures"][kind] for kind in ("photo", "segmentation")):
            assert (out.parent / picture).is_file()


def test_every_layer_of_the_backbone_starts_from_the_file_and_trains(
    folders, backbone, tmp_path, monkeypatch
):
    from dense_cl.transfer.hooks import LoadBackbone

    start = {}

    def remember(hook, runner, original=LoadBackbone.before_train):
        original(hook, runner)
        start.update({k: v.clone() for k, v in runner.model.backbone.state_dict().items()})
        start["normalization"] = runner.model.data_preprocessor.mean.flatten().tolist()

    monkeypatch.setattr(LoadBackbone, "before_train", remember)
    result = evaluate_segmentation_fine_tuning(
        SMALL, backbone, find(folders, "train"), find(folders, "test"), iterations=2, fraction=50,
        work_dir=tmp_path, cfg_options=TINY,
    )  # fmt: skip
    assert result["pretrained"] == ["backbone"] and len(result["backbone_sha256"]) == 64
    assert result["settings"]["images"] == {"train": 3, "test": 6}
    assert len((tmp_path / "train_images.txt").read_text().split()) == 3
    assert start.pop("normalization") == NORMALIZATION["mean"]
    given = read_weights(backbone).state_dict
    assert start.keys() == given.keys()
    assert all(torch.equal(start[key], given[key]) for key in given)
    end = torch.load(tmp_path / "iter_2.pth", weights_only=False)["state_dict"]
    still = [key for key in given if torch.equal(end[f"backbone.{key}"], given[key])]
    assert still == []  # weights, norm layers and their statistics: nothing is frozen


@pytest.mark.slow
def test_a_seed_is_repeated_and_a_finished_run_is_only_scored_again(folders, backbone, tmp_path):
    def run(folder, iterations, **more):
        result = evaluate_segmentation_fine_tuning(
            SMALL, backbone, find(folders, "train"), find(folders, "test"), iterations=iterations,
            work_dir=tmp_path / folder, cfg_options=TINY, amp=False, **more,
        )  # fmt: skip
        return result["scores"], [record["confusion"] for record in result["records"]]

    whole, again = run("a", 4), run("b", 4)
    assert whole == again
    resumed = run("b", 4, resume=True)  # trained to the end already: only tested
    assert resumed == whole
    assert run("c", 4, seed=1) != whole


def test_masks_are_read_as_everywhere_else(folders):
    import_mmseg()
    from mmseg.registry import DATASETS

    found = find(folders, "test")
    cfg = recipe(SMALL)
    segmenter.set_folders(cfg, "test", found, ["red", "green", "blue"])
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, "_scope_": "mmseg"})
    assert dataset.metainfo["classes"] == ("red", "green", "blue")
    for index in range(len(found)):
        sample = dataset[index]["data_samples"]
        assert sample.img_path == str(found.pairs[index][0])
        truth = sample.gt_sem_seg.data[0].numpy()
        labels = found.labels(index).numpy()
        assert np.array_equal(np.where(truth == 255, VOID, truth), labels)


def test_scores_are_those_of_mmsegmentation():
    import_mmseg()
    from mmseg.registry import METRICS

    generator = torch.Generator().manual_seed(0)
    samples = []
    for index in range(3):
        truth = torch.randint(0, 5, (1, 20, 30), generator=generator)
        truth[truth == 4] = 255
        if index == 2:
            truth[:] = 255  # nothing to count
        predicted = torch.randint(0, 4, (1, 20, 30), generator=generator)
        samples.append(
            dict(
                img_path=f"{index}.png",
                ori_shape=(20, 30),
                gt_sem_seg=dict(data=truth),
                pred_sem_seg=dict(
                    data=torch.where(torch.rand(1, 20, 30) < 0.5, predicted, truth % 4)
                ),
            )
        )
    meta = dict(classes=tuple("abcd"), palette=[[0, 0, 0]] * 4)
    ours, theirs = (
        METRICS.build(dict(type=f"mmseg.{name}")) for name in ("PixelConfusion", "IoUMetric")
    )
    for metric in (ours, theirs):
        metric.dataset_meta = meta
        metric.process(None, samples)
    reference = theirs.evaluate(3)
    found = ours.evaluate(3)
    for name, other in (("mean_iou", "mIoU"), ("pixel_accuracy", "aAcc"),
                        ("mean_class_accuracy", "mAcc")):  # fmt: skip
        assert 100 * found[f"segmentation/{name}"] == pytest.approx(reference[other], abs=0.006)
    assert ours.counts.records()[2]["confusion"] == []
    assert ours.counts.names == ("0.png", "1.png", "2.png")


def recipe(name: str) -> Config:
    return Config.fromfile(configs_dir() / "segmentation" / f"{name}.py")


def write_voc(root: Path) -> None:
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for masks, part, names in (("SegmentationClass", "train", "abc"),
                               ("SegmentationClassAug", "aug", "defghij"),
                               ("SegmentationClass", "val", "xy")):  # fmt: skip
        (lists / f"{part}.txt").write_text("\n".join(names))
        for name in names:
            for file in (f"JPEGImages/{name}.jpg", f"{masks}/{name}.png"):
                (root / file).parent.mkdir(exist_ok=True)
                Image.new("L", (8, 8)).save(root / file)


def test_a_fraction_of_joined_data_sets_is_nested_in_a_larger_one(tmp_path):
    import_mmseg()
    write_voc(tmp_path)

    def chosen(percent, seed=0):
        cfg = recipe("fcn_resnet50_4xb4_poly_20k_voc_aug")
        for part in [*cfg.train_dataloader.dataset.datasets, cfg.test_dataloader.dataset]:
            part.data_root = str(tmp_path)
        assert len(segmenter.classes_of(cfg)) == 21
        assert len(segmenter.images_of(cfg, "test")) == 2
        segmenter.take_fraction(cfg, percent, seed)
        return set(segmenter.images_of(cfg, "train"))

    with DefaultScope.overwrite_default_scope("mmdet"):  # as after a detector in a notebook
        parts = [chosen(percent) for percent in (10, 30, 50, 100)]
    assert [len(part) for part in parts] == [1, 3, 5, 10]
    assert all(small <= large for small, large in zip(parts, parts[1:], strict=False))
    assert any(chosen(30, seed) != parts[1] for seed in (1, 2))


def test_mistakes_on_the_command_line(folders, backbone, tmp_path, capsys):
    def message(*rest, config=SMALL, weights="random", data=None):
        status = main([
            "evaluate", "segmentation-fine-tuning", config, "--backbone", str(weights),
            *(arguments(folders) if data is None else data), "--work-dir", str(tmp_path), *rest,
        ])  # fmt: skip
        assert status == 2
        return capsys.readouterr().err

    assert f"Did you mean '{SMALL}'" in message(config=SMALL.replace("fcn", "fnc"))
    assert "'dense-cl finetune' takes it" in message(
        config="faster_rcnn_resnet18_fpn_1xb4_cosine_1200i_small"
    )
    assert "'nothing.pth' does not exist" in message(weights="nothing.pth")
    assert "Did you mean 'max_iters'" in message("--cfg-options", "train_cfg.max_iter=3")
    assert "Did you mean 'num_convs'" in message("--cfg-options", "model.decode_head.num_conv=3")
    assert "'random:resnet50': the recipe says what is built" in message(weights="random:resnet50")
    assert "iterations 0" in message("--iterations", "0")
    assert "fraction 0.0" in message("--fraction", "0")
    assert "The file holds a ResNet-18, the model is a ResNet-50" in message(
        "--cfg-options", "model.backbone.depth=50", weights=backbone
    )
    assert "--test-masks must be given as well" in message(data=arguments(folders)[:-1])
    assert "belong together" in message(data=arguments(folders)[1:])
    assert "does not exist" in message("--train-images", str(tmp_path / "nowhere"))
    assert "holds the value 9, which is neither one of the classes 0..2" in message("--ignore", "")
    two = tmp_path / "two.txt"
    two.write_text("red\ngreen\n")
    assert "holds the value 2" in message("--classes", str(two))
    assert "values are at most 255" in message("--ignore", "9,256")
    missing = message(data=[], config="upernet_resnet50_4xb4_poly_80k_ade20k")
    assert "ADE20KDataset" in missing and "--train-images" in missing
    assert "auxiliary_head predicts 7 classes and the test images have 150" in message(
        "--cfg-options", "model.auxiliary_head.num_classes=7", data=[],
        config="upernet_resnet50_4xb4_poly_80k_ade20k",
    )  # fmt: skip


def test_repeated_data_sets_are_read_once(folders):
    import_mmseg()
    cfg = recipe(SMALL)
    plain = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=40_000, dataset=plain)
    found = MaskFolders.find(folders / "images/train", folders / "masks/train", 3, [IGNORE])
    segmenter.set_folders(cfg, "train", found, ["red", "green", "blue"])
    assert cfg.train_dataloader.dataset.pipeline == plain.pipeline
    repeated = dict(type="RepeatDataset", times=9, dataset=cfg.train_dataloader.dataset)
    cfg.train_dataloader.dataset = repeated
    assert len(segmenter.images_of(cfg, "train")) == 6


def test_published_configs_start_from_the_chosen_weights_and_may_have_a_pyramid(tmp_path):
    import_mmseg()
    import mmseg

    configs = Path(mmseg.__file__).parent / ".mim/configs"
    cfg = Config.fromfile(configs / "sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024.py")
    assert cfg.model.pretrained == "open-mmlab://resnet50_v1c"
    cfg, _ = open_recipe(cfg, "random", "mmseg", work_dir=tmp_path)
    assert "pretrained" not in cfg.model and cfg.model.backbone.type == "ResNetV1c"
    assert cfg.model.neck.in_channels == [256, 512, 1024, 2048]


RECIPES = sorted((configs_dir() / "segmentation").glob("*.py"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_say_how_to_run_them_and_freeze_nothing(path):
    text = path.read_text()
    assert all(f"{word}:" in text for word in ("Cost", "Expected"))
    assert text.count(path.stem) >= 1  # its own command
    cfg = recipe(path.stem)
    backbone = cfg.model.backbone
    assert (backbone.frozen_stages, backbone.norm_eval, backbone.init_cfg) == (-1, False, None)
    assert (
        backbone.norm_cfg == cfg.model.decode_head.norm_cfg == dict(type="BN", requires_grad=True)
    )
    assert cfg.train_dataloader.batch_size == int(path.stem.split("xb")[1].split("_")[0])
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_iters
    crop = next(
        step.crop_size for step in pipeline(cfg.train_dataloader) if step.type == "RandomCrop"
    )
    assert tuple(crop) == tuple(cfg.model.data_preprocessor.size)


def pipeline(loader):
    dataset = loader.dataset
    return (dataset.datasets[0] if "datasets" in dataset else dataset).pipeline


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_models_of_the_recipes_give_gradients_to_every_parameter(path):
    import_mmseg()
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    cfg = recipe(path.stem)
    cfg.model.data_preprocessor.size = (64, 64)
    model = MODELS.build({**cfg.model, "_scope_": "mmseg"})
    samples = [
        SegDataSample(
            metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64)),
            gt_sem_seg=PixelData(data=torch.randint(0, 2, (1, 64, 64))),
        )
        for _ in range(2)
    ]
    images = [torch.randint(0, 255, (3, 64, 64)).byte() for _ in samples]
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    loss, _ = model.parse_losses(model(**data, mode="loss"))
    loss.backward()
    # conv_seg of every head, the stem and all between.
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
