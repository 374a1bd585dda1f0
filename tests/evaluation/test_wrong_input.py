"""Wrong input of ``dense-cl evaluate``: one message, status 2, and no work before it."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.pictures import Pictures
from dense_cl.models import build_backbone
from dense_cl.sources.arrays import ArraySource


def save(file: Path, picture: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(file)


def coco(file: Path, size: int = 48, points: bool = True) -> None:
    """Write objects of the four photos in ``images``."""
    photos = [{"id": i, "file_name": f"{i}.png", "width": size, "height": size} for i in range(4)]
    objects: list[dict[str, Any]] = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, size, size], "area": 9}
        | ({"keypoints": [9, 9, 2, 12, 9, 2, 9, 15, 2]} if points else {})
        for i in range(4)
    ]
    content = {"images": photos, "annotations": objects, "categories": [{"id": 1, "name": "a"}]}
    file.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of photos, masks, labelled images and backbones, right and wrong."""
    root = tmp_path_factory.mktemp("wrong")
    rng = np.random.default_rng(0)
    for i in range(4):
        for folder in ("images", "shown"):
            save(root / folder / f"{i}.png", rng.integers(0, 255, (48, 48, 3), dtype=np.uint8))
        mask = rng.integers(0, 3, (48, 48), dtype=np.uint8)
        save(root / f"masks/{i}.png", mask)
        save(root / f"small/{i}.png", mask[:24] if i == 3 else mask)
        save(root / f"objects/{i}.png", (mask[:24] if i == 3 else mask) // 2 * 255)
        save(root / f"names/{i}_mask.png", mask)
        mask[0, 0] = 77 if i == 3 else 0
        save(root / f"values/{i}.png", mask)
        save(root / f"colours/{i}.png", np.stack([mask] * 3, axis=2))
        for folder in ("labelled", "unseen"):
            save(root / folder / f"cat/{i}.png", mask)
            save(root / folder / f"dog/{i}.png", mask)
        for folder in ("cow/cat", "cow/cow", "single/cat"):
            save(root / folder / f"{i}.png", mask)
    for i in range(4):
        (root / f"broken/{i}.png").parent.mkdir(exist_ok=True)
        (root / f"broken/{i}.png").write_bytes(b"" if i == 3 else b"no image")
        save(root / f"void/{i}.png", np.full((48, 48), 9, np.uint8))
    (root / "empty").mkdir()
    (root / "latin.txt").write_bytes("Stra\xdfe\nBaum\nHaus\n".encode("latin-1"))
    (root / "twice.txt").write_text("road\ntree\nroad\n")
    (root / "gone.txt").write_text("labelled/cat/0.png, cat\nlabelled/dog/9.png, dog\n")
    (root / "one_name.txt").write_text("a\n")
    coco(root / "coco.json")
    coco(root / "larger.json", size=60)
    weights = build_backbone(dict(type="ResNet", depth=18)).state_dict()
    torch.save(weights, root / "resnet18.pth")
    part = {key: value for key, value in weights.items() if not key.startswith("layer4.1")}
    torch.save(part, root / "part.pth")
    torch.save(weights | {"conv1.weight": weights["conv1.weight"] / 0}, root / "nan.pth")
    return root


MASKS = (
    "--train-images images --train-masks masks --test-images shown --test-masks masks --size 48x48"
)
SEGMENTATION = f"segmentation --backbone random {MASKS} --num-classes 3"
LABELS = "--train labelled --test unseen --size 32"
WRONG = {
    # the backbone
    f"classification --backbone resnet18.pth:resnet34 {LABELS}": "the model is a ResNet-34",
    f"classification --backbone part.pth {LABELS}": "those of no complete ResNet",
    f"classification --backbone part.pth:resnet18 {LABELS}": "10 missing",
    f"segmentation --backbone nowhere.pth {MASKS} --num-classes 3": "'nowhere.pth' is not a file",
    "few-shot --backbone random:qqqqq --images labelled --way 2 --shot 1 --query 1": "None of ",
    # photos and masks
    SEGMENTATION.replace("train-images images", "train-images nowhere"): "'nowhere' does not exist",
    SEGMENTATION.replace("train-images images", "train-images empty"): "'empty' holds none",
    SEGMENTATION.replace("test-images shown", "test-images broken"): "broken/0.png' cannot be read",
    SEGMENTATION.replace("test-masks masks", "test-masks names"): "no mask of the same name",
    SEGMENTATION.replace("test-masks masks", "test-masks values"): "holds the value 77",
    SEGMENTATION.replace("test-masks masks", "test-masks colours"): "is a RGB picture",
    SEGMENTATION.replace("test-masks masks", "test-masks small"): "They must be equally large",
    SEGMENTATION.replace("test-masks masks", "test-masks void") + " --ignore 9": "all are ignored",
    SEGMENTATION.replace("--num-classes 3", "--classes latin.txt"): "is not UTF-8 text",
    SEGMENTATION.replace("--num-classes 3", "--classes twice.txt"): "names 'road' twice",
    SEGMENTATION.replace("segmentation", "retrieval").replace(
        "test-masks masks", "test-masks values"
    ): "holds the value 77",
    "clustering --backbone random --test-images images --test-masks values --num-classes 3 "
    "--size 48x48": "holds the value 77",
    f"segmentation --backbone random {MASKS} --classes one_name.txt": "names 1 classes",
    f"{SEGMENTATION} --size 240": "'240' is not HEIGHTxWIDTH",
    f"{SEGMENTATION} --size 9x99999": "sides are 8 to 4096 pixels",
    f"{SEGMENTATION} --l2 1 2": "no validation images",
    f"{SEGMENTATION} --val-images images": "belong together",
    f"{SEGMENTATION} --out masks": "'masks' cannot be written (it is a folder)",
    f"{SEGMENTATION} --out masks/0.png/x.json": "cannot be written",
    # labelled images
    f"classification --backbone random {LABELS} --l2 1 2": "Give --val, or a single --l2",
    f"classification --backbone random {LABELS} --train gone.txt": "dog/9.png' cannot be read",
    f"classification --backbone random {LABELS} --test labelled": "among the training images and",
    "few-shot --backbone random --images labelled labelled --way 2 --shot 1": "is there twice",
    f"{SEGMENTATION} --test-images images": "among the training images and among the test",
    f"many-shot --backbone random {LABELS} --test cow": "'cow'",
    f"many-shot --backbone random {LABELS} --train single": "two classes or more are needed",
    f"many-shot --backbone random {LABELS} --train empty": "'empty' holds no image",
    "many-shot --backbone random --dataset dtd": "--dataset dtd needs --root",
    "many-shot --backbone random --dataset dtt --root .": "data set 'dtt' is not known",
    "many-shot --backbone random --root empty": "needs --dataset",
    f"fine-tuning --backbone random {LABELS} --test broken": "lies beside the class folders",
    # objects
    "localization --backbone random --images images --masks objects": "must be equally large",
    "localization --backbone random --images images --masks masks": "holds values of 0..2",
    "localization --backbone random --annotations larger.json --images images": "48x48",
    "localization --backbone random --images images --masks masks --report masks": "it is a folder",
    "keypoints --backbone random --annotations none.json --images images": "cannot be read",
}


@pytest.mark.parametrize("words", WRONG)
def test_one_message_before_any_work(
    words: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_work(*_: Any) -> None:
        raise AssertionError("features are computed")

    monkeypatch.chdir(root)
    monkeypatch.setattr(FrozenBackbone, "normalised", no_work)
    before = sorted(os.listdir(root))
    assert main(["evaluate", *words.split(), *cached(words)]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("checking ")]
    assert line.startswith("dense-cl evaluate: error: ") and WRONG[words] in line
    assert sorted(os.listdir(root)) == before


def cached(words: str) -> list[str]:
    return [] if words.startswith("localization") else ["--no-cache"]


@pytest.mark.parametrize(
    "words",
    [
        f"classification --backbone random {LABELS} --size 0",
        f"many-shot --backbone random {LABELS} --l2 0",
        f"fine-tuning --backbone random {LABELS} --rates 0",
        f"fine-tuning --backbone random {LABELS} --decays -1",
        f"fine-tuning --backbone random {LABELS} --steps 0",
        f"{SEGMENTATION} --workers -1",
        f"{SEGMENTATION} --l2 nan",
        "few-shot --backbone random --images labelled --way 1",
        "few-shot --backbone random --images labelled --shot x",
        f"retrieval --backbone random {MASKS} --num-classes 3 --temperature 0",
        f"segmentation --backbone random {MASKS} --num-classes 1",
        "keypoints --backbone random --annotations coco.json --alpha 0",
        "localization --backbone random --annotations coco.json --limit 0",
        "invariance --backbone random --scenes 1",
        "invariance --backbone random --images images --seed -1",
    ],
)
def test_options_have_ranges(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *words.split()])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "out of range; it is " in said or "'x' is not a whole number" in said


@pytest.mark.parametrize("task", ["classification", "few-shot", "localization", "invariance"])
def test_features_that_are_not_finite_are_refused(
    task: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    data = {
        "classification": f"{LABELS} --no-cache --workers 0",
        "few-shot": "--images labelled --way 2 --shot 1 --query 1 --size 32 --no-cache --workers 0",
        "localization": "--images images --annotations coco.json --size 32",
        "invariance": "--images images --transforms flip --size 32",
    }
    assert main(["evaluate", task, "--backbone", "nan.pth", *data[task].split()]) == 2
    assert "the backbone's features are not finite" in capsys.readouterr().err


def test_objects_beyond_the_photo_are_of_another_photo(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    words = "keypoints --backbone random --images images --size 32 --no-cache --workers 0"
    assert main(["evaluate", *words.split(), "--annotations", "larger.json"]) == 2
    said = capsys.readouterr().err
    assert "has 48x48 pixels, and its key points are of a photo with 60x60" in said


def test_architectures_may_be_named_for_invariance_too(root: Path, tmp_path: Path) -> None:
    """The untrained control is of the same architecture, whoever wrote the file."""
    out = tmp_path / "result.json"
    words = f"--images {root}/images --transforms flip --size 32 --out {out}".split()
    for name in ("resnet18.pth", "resnet18.pth:resnet18"):
        assert main(["evaluate", "invariance", "--backbone", str(root / name), *words]) == 0
        assert set(json.loads(out.read_text())["nulls"]) == {"permuted", "random_init"}


def test_a_killed_reader_is_an_error_with_a_mend() -> None:
    class Deadly(ArraySource):
        def load(self, index: int) -> np.ndarray:
            os._exit(1)

    pictures = Pictures(Deadly(np.zeros((4, 8, 8, 3), np.uint8), "x"), "whole", (8, 8))
    frozen = FrozenBackbone.load("random")
    with pytest.raises(DenseCLError, match="was killed, .* --workers 0"):
        Extraction(workers=1).pooled(frozen, pictures, "deadly")
