"""What functions refuse that commands cannot be given, and what they leave as it was."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import dense_cl
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.class_scores import (
    average_precision_11,
    mean_average_precision_11,
    mean_per_class,
    top_1,
)
from dense_cl.evaluation.classification import evaluate_classification
from dense_cl.evaluation.confusion import confusion_matrix
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import FrozenBackbone, open_backbone
from dense_cl.evaluation.invariance import evaluate_invariance
from dense_cl.evaluation.knn import knn_accuracy
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.evaluation.mask_folders import MaskFolders, check_sets
from dense_cl.evaluation.results import write_result
from dense_cl.evaluation.retrieval import evaluate_retrieval
from dense_cl.evaluation.statistics import holm
from dense_cl.sources.arrays import ArraySource
from dense_cl.sources.folder import FolderSource
from dense_cl.transfer.export import export_backbone
from dense_cl.transfer.weights_file import read_weights
from tests.transfer.files import pretrained

THREE, FIVE = torch.tensor([0.9, 0.8, 0.1]), torch.tensor([1, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: confusion_matrix(torch.tensor([2, 1]), torch.tensor([0, 1]), 2), "1 to 2 are not"),
        (lambda: confusion_matrix(torch.tensor([-1, 1]), torch.tensor([1, 1]), 2), "-1 to 1"),
        (lambda: confusion_matrix(torch.zeros(4, 5), torch.zeros(5, 4), 2), "not of the same pix"),
        (lambda: average_precision_11(THREE, FIVE), "not of the same images"),
        (lambda: mean_average_precision_11(torch.ones(4, 3), torch.ones(5, 3)), "not of the same"),
        (lambda: top_1(torch.full((4, 3), torch.nan), torch.zeros(4)), "no numbers"),
        (lambda: mean_per_class(torch.ones(2, 3), torch.tensor([0, 7])), "0 to 7 are not all"),
        (lambda: knn_accuracy(torch.ones(4, 2), torch.zeros(4), torch.ones(2, 2)), "belong togeth"),
        (lambda: holm([0.1, float("nan")]), "nan is no p-value"),
        (lambda: ArraySource(np.ones((2, 4, 4, 3)), "x"), "float64 .* holds no images"),
        (lambda: ArraySource(np.ones((2, 4, 4), np.uint8), "x"), "holds no images"),
        (lambda: evaluate_invariance("random", {}, None, {}), "no sets of images"),
        (lambda: open_backbone({"weight": torch.ones(1)}), "backbone is a dict"),
    ],
)
def test_plausible_numbers_are_not_made_of_wrong_input(call, message):
    with pytest.raises(DenseCLError, match=message):
        call()


def test_predictions_of_void_pixels_do_not_matter():
    found = confusion_matrix(torch.tensor([9, 1]), torch.tensor([-1, 1]), 2)
    assert found.tolist() == [[0, 0], [0, 1]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(4):
        for kind, pixels in (
            ("images", rng.integers(0, 255, (16, 16, 3))),
            ("masks", rng.integers(0, 2, (16, 16))),
        ):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / kind / f"{number}.png")
    return tmp_path


def test_sets_of_masks_count_alike(photos: Path):
    train, more, void = (
        MaskFolders.find(photos / "images", photos / "masks", count, ignore)
        for count, ignore in ((2, [9]), (3, [9]), (2, [9, 8]))
    )
    for test in (more, void):
        with pytest.raises(DenseCLError, match="give both sets the same"):
            check_sets({"training": train, "test": test}, print)
    for options in (dict(k=0), dict(temperature=0.0)):
        with pytest.raises(DenseCLError, match="neighbours at temperature"):
            evaluate_retrieval("random", train, train, **options)


def test_linked_folders_of_masks_are_followed(photos: Path, tmp_path: Path):
    for kind in ("images", "masks"):
        (tmp_path / "linked" / kind).mkdir(parents=True)
        (tmp_path / "linked" / kind / "part").symlink_to(photos / kind)
    found = MaskFolders.find(tmp_path / "linked" / "images", tmp_path / "linked" / "masks", 2)
    assert [found.name(i) for i in range(4)] == [f"part/{number}.png" for number in range(4)]


def test_one_ending_is_one_ending(photos: Path):
    Image.new("RGB", (8, 8)).save(photos / "images" / "x.jpg")
    assert len(FolderSource(photos / "images", extensions=".png")) == 4


class Vector(nn.Module):
    """What a classifier gives."""

    def forward(self, image):
        return image.mean(dim=(2, 3))


class Maps(nn.Module):
    """What a backbone gives."""

    def forward(self, image):
        return (image,)


def labelled(count: int = 6) -> LabelledImages:
    pixels = np.random.default_rng(count).integers(0, 255, (count, 8, 8, 3), dtype=np.uint8)
    return LabelledImages(ArraySource(pixels, f"x{count}"), ("a", "b") * (count // 2))


def test_modules_that_give_no_maps_and_pixels_of_another_scale():
    with pytest.raises(DenseCLError, match="Vector does not return a tuple of feature maps"):
        evaluate_classification(Vector(), labelled(6), labelled(4), size=8, l2=[1e-2])
    module = Maps()
    module.normalization = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    with pytest.raises(DenseCLError, match="for pixels in 0..1, and images are in 0..255"):
        FrozenBackbone.wrap(module)


def test_evaluations_leave_the_callers_random_numbers(tmp_path: Path):
    pretrained(dict(type="ResNet", depth=18), tmp_path / "c.pth")
    file, _ = export_backbone(tmp_path / "c.pth", tmp_path / "b")
    for backbone in ("random", file):
        torch.manual_seed(0)
        expected = torch.rand(1)
        torch.manual_seed(0)
        evaluate_classification(backbone, labelled(6), labelled(4), size=32, l2=[1e-2])
        assert torch.equal(torch.rand(1), expected)


def test_numpy_numbers_are_written_and_a_folder_of_strings_is_a_cache(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    extraction = Extraction(cache="~/cache")
    result = evaluate_classification(
        Maps(), labelled(6), labelled(4), size=8, l2=[1e-2], seed=np.int64(3), extraction=extraction
    )
    assert list((tmp_path / "cache").iterdir())
    write_result(result, tmp_path / "deep" / "x.json")
    assert json.loads((tmp_path / "deep" / "x.json").read_text())["seed"] == 3
    write_result({"scores": {"a": float("nan"), "b": np.float32(0.5)}}, tmp_path / "n.json")
    assert json.loads((tmp_path / "n.json").read_text())["scores"] == {"a": None, "b": 0.5}
    with pytest.raises(DenseCLError, match="cannot be written .it is a folder"):
        write_result(result, tmp_path)
    with pytest.raises(DenseCLError, match="a Tensor in a result"):
        write_result(result | {"more": torch.ones(1)}, tmp_path / "y.json")


def test_a_folder_is_no_file_of_weights(tmp_path: Path):
    with pytest.raises(DenseCLError, match="is a folder; give the backbone.pth in it"):
        read_weights(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(DenseCLError, match="truncated or damaged") as error:
        read_weights(tmp_path / "summary.json")
    assert "weights_only" not in str(error.value)


def test_what_there_is_is_listed():
    assert {"pretrain", "finetune", "load_backbone", "diagnose"} <= set(dir(dense_cl))
