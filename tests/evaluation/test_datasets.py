"""Every data set of the table, as a tiny copy in its layout, read and split."""

import csv
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.class_scores import METRICS
from dense_cl.evaluation.dataset_layouts import VOC_CLASSES
from dense_cl.evaluation.datasets import DATASETS, choose_images, choose_splits, read_split

SPLITS = ("train", "val", "test")
EACH = 5  # images of a class in a split; two classes


def picture(file: Path, value: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 10, 3), value, np.uint8)).save(file, "JPEG")


def write(file: Path, lines) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def plan(splits=SPLITS):
    """Yield (split, class 0 or 1, number of the image, its grey level: 100 for class 1)."""
    number = 0
    for split in splits:
        for index in range(2 * EACH):
            number += 1
            yield split, index % 2, number, 100 * (index % 2)


def aircraft(root: Path) -> None:
    data = root / "fgvc-aircraft-2013b" / "data"
    write(data / "variants.txt", ["A380", "Boeing 737"])
    for split in SPLITS:
        rows = [(n, c, v) for s, c, n, v in plan() if s == split]
        names = ("A380", "Boeing 737")
        write(data / f"images_variant_{split}.txt", [f"{n:07d} {names[c]}" for n, c, _ in rows])
        for n, _, v in rows:
            picture(data / "images" / f"{n:07d}.jpg", v)


def caltech101(root: Path) -> None:
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for split, c, n, v in plan(("train", "test")):
        file = f"{('ant', 'bass')[c]}/image_{n:04d}.jpg"
        picture(root / "caltech101" / "101_ObjectCategories" / file, v)
        lines[split].append(f"{file} {c}")
    for split, rows in lines.items():
        write(root / "caltech101" / "caltech101-splits" / f"{split}.txt", rows)


def cars(root: Path) -> None:
    folder = root / "stanford_cars"
    kind = [("fname", object), ("class", object)]
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array(["a", "b"], object)})
    for split in ("train", "test"):
        rows = [(f"{n:05d}.jpg", c + 1, v) for s, c, n, v in plan() if s == split]
        place = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
        table = np.array([row[:2] for row in rows], dtype=kind)
        savemat(folder / place[split], {"annotations": table})
        for name, _, v in rows:
            picture(folder / f"cars_{split}" / name, v)


def cifar(root: Path, base: str, files: dict[str, list[str]], key: str, meta: dict) -> None:
    (root / base).mkdir()
    for split, names in files.items():
        for name in names:
            rows = [(c, v) for s, c, _, v in plan() if s == split]
            data = np.stack([np.full(3072, v, np.uint8) for _, v in rows])
            content = {"data": data, key: [c for c, _ in rows]}
            (root / base / name).write_bytes(pickle.dumps(content))
    for name, content in meta.items():
        (root / base / name).write_bytes(pickle.dumps(content))


def cifar10(root: Path) -> None:
    files = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
    cifar(root, "cifar-10-batches-py", files, "labels", {"batches.meta": {"label_names": ["a"]}})


def cifar100(root: Path) -> None:
    files = {"train": ["train"], "test": ["test"]}
    cifar(root, "cifar-100-python", files, "fine_labels", {"meta": {"fine_label_names": ["a"]}})


def dtd(root: Path) -> None:
    for split in SPLITS:
        rows = [(f"{('banded', 'woven')[c]}/{n}.jpg", v) for s, c, n, v in plan() if s == split]
        write(root / "dtd" / "dtd" / "labels" / f"{split}1.txt", [file for file, _ in rows])
        for file, v in rows:
            picture(root / "dtd" / "dtd" / "images" / file, v)


def flowers(root: Path) -> None:
    folder, rows = root / "flowers-102", list(plan())
    for _, _, n, v in rows:
        picture(folder / "jpg" / f"image_{n:05d}.jpg", v)
    savemat(folder / "imagelabels.mat", {"labels": np.array([c + 1 for _, c, _, _ in rows])})
    keys = dict(zip(SPLITS, ("trnid", "valid", "tstid"), strict=True))
    ids = {key: np.array([n for s, _, n, _ in rows if s == split]) for split, key in keys.items()}
    savemat(folder / "setid.mat", ids)


def food(root: Path) -> None:
    for split in ("train", "test"):
        listed: dict[str, list[str]] = {"pho": [], "ramen": []}
        for s, c, n, v in plan():
            if s == split:
                name = f"{('pho', 'ramen')[c]}/{n}"
                listed[name.split("/")[0]].append(name)
                picture(root / "food-101" / "images" / f"{name}.jpg", v)
        write(root / "food-101" / "meta" / f"{split}.json", [json.dumps(listed)])


def pets(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    for split, name in (("train", "trainval"), ("test", "test")):
        rows = [(f"{('Abyssinian', 'beagle')[c]}_{n}", c, v) for s, c, n, v in plan() if s == split]
        lines = [f"{image} {c + 1} {c + 1} 1" for image, c, _ in rows]
        write(folder / "annotations" / f"{name}.txt", lines)
        for image, _, v in rows:
            picture(folder / "images" / f"{image}.jpg", v)


def sun397(root: Path) -> None:
    for split, name in (("train", "Training_01.txt"), ("test", "Testing_01.txt")):
        rows = [(f"{('a/abbey', 'c/cabin/indoor')[c]}/sun_{n}.jpg", v)
                for s, c, n, v in plan() if s == split]  # fmt: skip
        write(root / "SUN397" / name, [f"/{file}" for file, _ in rows])
        for file, v in rows:
            picture(root / "SUN397" / file, v)


def voc2007(root: Path) -> None:
    folder = root / "VOCdevkit" / "VOC2007"
    for split in SPLITS:
        rows = [(f"{n:06d}", c, v) for s, c, n, v in plan() if s == split]
        for name in VOC_CLASSES:
            # Dogs are class 1, persons are on all; cats are difficult.
            marks = {"dog": lambda c: 2 * c - 1, "person": lambda c: 1, "cat": lambda c: 0}
            mark = marks.get(name, lambda c: -1)
            lines = [f"{image} {mark(c):2d}" for image, c, _ in rows]
            write(folder / "ImageSets" / "Main" / f"{name}_{split}.txt", lines)
        for image, _, v in rows:
            picture(folder / "JPEGImages" / f"{image}.jpg", v)


def chestx(root: Path) -> None:
    rows = [("Image Index", "Finding Labels")]
    for _, c, n, v in plan(["train"]):
        picture(root / "images" / f"{n}.png", v)
        rows.append((f"{n}.png", ("Mass", "Nodule")[c]))
    rows += [("x.png", "No Finding"), ("y.png", "Mass|Nodule"), ("z.png", "Pneumonia")]
    with (root / "Data_Entry_2017.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def folders(inside: str):
    def build(root: Path) -> None:
        for _, c, n, v in plan(["train"]):
            picture(root / inside / ("crop", "river")[c] / f"{n}.jpg", v)

    return build


def isic(root: Path) -> None:
    lines = ["image,MEL,NV,BCC"]
    for _, c, n, v in plan(["train"]):
        picture(root / "ISIC2018_Task3_Training_Input" / f"ISIC_{n}.jpg", v)
        lines.append(f"ISIC_{n},{1.0 - c},{float(c)},0.0")
    truth = "ISIC2018_Task3_Training_GroundTruth"
    write(root / truth / f"{truth}.csv", lines)


BUILD = dict(
    aircraft=aircraft, caltech101=caltech101, cars=cars, cifar10=cifar10, cifar100=cifar100,
    dtd=dtd, flowers=flowers, food=food, pets=pets, sun397=sun397, voc2007=voc2007, chestx=chestx,
    cropdiseases=folders("dataset/train"), eurosat=folders("2750"), isic=isic,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny copies are not the files whose checksums torchvision knows."""
    for module in ("cifar", "flowers102"):
        monkeypatch.setattr(
            f"torchvision.datasets.{module}.check_integrity", lambda path, md5: Path(path).exists()
        )


def test_the_table_is_complete_and_its_metrics_exist() -> None:
    assert set(BUILD) == set(DATASETS)
    metrics = {data.metric for data in DATASETS.values()}
    assert metrics == {*METRICS, None}
    assert sum(data.metric is not None for data in DATASETS.values()) == 11


@pytest.mark.parametrize("name", [name for name, data in DATASETS.items() if data.metric])
def test_many_shot_splits(tmp_path: Path, name: str) -> None:
    BUILD[name](tmp_path)
    splits, metric = choose_splits(name, str(tmp_path), None, None, None)
    assert metric == DATASETS[name].metric
    sizes = [len(images) for images in splits.by_name().values()]
    train = 5 * 2 * EACH if name == "cifar10" else 2 * EACH
    whole = DATASETS[name].val is not None
    assert sizes == ([train, 10, 10] if whole else [train * 4 // 5, train // 5, 10])
    for images in splits.by_name().values():
        names = sorted(set(images.names))
        for index in range(len(images)):
            # Grey 0 is the first class and grey 100 the second: labels belong to their images.
            level = images.source.load(index).mean()
            if name == "voc2007":
                assert images.names[index] == ("dog+person" if level > 50 else "person")
            else:
                assert images.names[index] == names[int(level > 50)]


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "voc2007"])
def test_few_shot_takes_every_split(tmp_path: Path, name: str) -> None:
    BUILD[name](tmp_path)
    images = choose_images(name, tmp_path, None)
    parts = len(DATASETS[name].splits()) + (4 if name == "cifar10" else 0)
    assert len(images) == parts * 2 * EACH and len(set(images.names)) == 2
    for index in (0, len(images) - 1):
        second = images.names[index] == max(images.names)
        assert (images.source.load(index).mean() > 50) == second


@pytest.mark.parametrize("name", list(DATASETS))
def test_names_do_not_depend_on_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here, there = tmp_path / "a", tmp_path / "b" / "c"
    there.parent.mkdir()
    here.mkdir()
    BUILD[name](here)
    shutil.copytree(here, there)
    split = DATASETS[name].train
    monkeypatch.chdir(tmp_path / "b")
    first, second, third = (read_split(name, root, split) for root in (here, there, "c"))
    names = [[images.name(i) for i in range(len(images))] for images in (first, second, third)]
    assert names[0] == names[1] == names[2]
    assert not any(Path(each).is_absolute() or each.startswith("..") for each in names[0])
    assert third.source.load(0).shape == first.source.load(0).shape  # and it is found


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_missing_data_set_is_described_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(DenseCLError, match=f"data set '{name}' is not complete .*must hold"):
        read_split(name, tmp_path, DATASETS[name].train)
    assert not list(tmp_path.iterdir())


def test_wrong_requests(tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="data set 'cifar' is not known; .* cifar10, cifar100"):
        choose_splits("cifar", str(tmp_path), None, None, None)
    with pytest.raises(DenseCLError, match="root .* does not exist"):
        read_split("dtd", tmp_path / "nowhere", "train")
    with pytest.raises(DenseCLError, match="--dataset dtd needs --root"):
        choose_splits("dtd", None, None, None, None)
    with pytest.raises(DenseCLError, match="either --dataset and --root"):
        choose_splits("dtd", str(tmp_path), "x", None, "y")
    with pytest.raises(DenseCLError, match="'eurosat' has no split .* use few-shot"):
        choose_splits("eurosat", str(tmp_path), None, None, None)
    with pytest.raises(DenseCLError, match="images of 'voc2007' have several classes"):
        choose_images("voc2007", tmp_path, None)
    with pytest.raises(DenseCLError, match="either --dataset and --root, or --images"):
        choose_images(None, None, None)
