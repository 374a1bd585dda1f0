"""Clustering and retrieval on pictures whose classes are colours; records and class names."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.clustering import evaluate_clustering
from dense_cl.evaluation.confusion import counted_scores
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.kmeans import best_clustering, spread_centroids
from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.evaluation.pixel_counts import PixelCounts
from dense_cl.evaluation.results import counts_by_class, write_result
from dense_cl.evaluation.retrieval import evaluate_retrieval
from dense_cl.evaluation.segmentation import evaluate_segmentation
from dense_cl.report.draw import PALETTE
from dense_cl.report.draw_views import draw_classes

COLOURS = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220]], dtype=np.uint8)
VOID = 255


class Colours(nn.Module):
    """A "backbone" of two stages: nothing, and the average colour of 8x8 pixels."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return torch.zeros_like(image[:, :, ::4, ::4]), nn.functional.avg_pool2d(image, 8)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Write squares of 16 pixels in random colours with a void border, for two splits."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for index in range(5):
            mask = np.kron(rng.integers(0, 3, (4, 4)), np.ones((16, 16))).astype(np.uint8)
            image = COLOURS[mask]
            mask[:4] = VOID
            for kind, array in (("images", image), ("masks", mask)):
                file = tmp_path / kind / split / f"{index}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(file)
    return tmp_path


def find(root: Path, split: str) -> MaskFolders:
    return MaskFolders.find(root / "images" / split, root / "masks" / split, 3, [VOID])


def test_clusters_of_colours_are_the_classes(folders: Path) -> None:
    result = evaluate_clustering(Colours(), find(folders, "test"), [6], size=(64, 64))
    # Each square is a whole number of cells, so nothing is lost at borders.
    assert result["scores"]["mean_iou"] == 1.0
    assert result["scores"]["over_6"]["mean_iou"] == 1.0
    counts = counts_by_class(result)
    assert len(counts) == 5 and counts.sum(axis=(0, 2)).tolist() == [5 * 64 * 60] * 3
    assert counted_scores(counts.sum(0)).mean_iou == 1.0


def test_clusters_of_nothing_say_nothing(folders: Path) -> None:
    result = evaluate_clustering(Colours(), find(folders, "test"), size=(64, 64), stage=0)
    assert result["scores"]["mean_iou"] < 0.15  # one class for all pixels


@pytest.mark.parametrize("memory", [10**6, 60])
def test_retrieval_finds_the_colours(folders: Path, memory: int) -> None:
    result = evaluate_retrieval(
        Colours(), find(folders, "train"), find(folders, "test"), (64, 64), k=5, memory=memory,
        classes=["red", "green", "blue"],
    )  # fmt: skip
    # Shares are enlarged bilinearly, which rounds the corners of the squares.
    assert result["scores"]["mean_iou"] > 0.9 and set(result["iou"]) == {"red", "green", "blue"}
    # The void border fills half of the first row of cells, so that every patch has a label.
    assert result["patches"] == min(memory, 5 * 64)
    assert result["settings"]["memory"] == memory  # the same for backbones of other strides
    counts = counts_by_class(json.loads(json.dumps(result)))
    assert counted_scores(counts.sum(0)).mean_iou == result["scores"]["mean_iou"]


def test_all_stages_together_are_no_worse_than_the_best(folders: Path) -> None:
    sets = find(folders, "train"), find(folders, "test")
    ious = {
        stages: evaluate_segmentation(Colours(), *sets, size=(64, 64), stages=stages)["mean_iou"]
        for stages in ((0,), (1,), (0, 1))
    }
    assert ious[(0,)] < 0.2 < 0.9 < ious[(1,)] == pytest.approx(ious[(0, 1)], abs=1e-6)


def test_records_make_the_scores_of_segmentation(folders: Path, tmp_path: Path) -> None:
    result = evaluate_segmentation(
        Colours(), find(folders, "train"), find(folders, "test"), size=(64, 64)
    )
    write_result(result, tmp_path / "out" / "r.json")
    text = (tmp_path / "out" / "r.json").read_text()
    assert json.loads(text) == result
    assert sum(line.startswith('    {"image"') for line in text.splitlines()) == 5
    scores = counted_scores(counts_by_class(result).sum(0))
    assert scores.mean_iou == result["mean_iou"] == result["scores"]["mean_iou"]
    with pytest.raises(DenseCLError, match="few-shot has no confusion matrices"):
        counts_by_class({"task": "few-shot", "records": [{"image": "x", "accuracy": 1}]})


def test_confusions_of_other_classes_are_refused() -> None:
    record = {"image": "x", "confusion": [[0, 0, 4], [3, 0, 1]]}
    with pytest.raises(DenseCLError, match="of 'x' has classes beyond the 3 that the settings"):
        counts_by_class({"task": "segmentation", "settings": {"classes": 3}, "records": [record]})


@pytest.mark.parametrize("evaluate", [evaluate_segmentation, evaluate_retrieval])
def test_photos_to_learn_from_are_none_to_be_scored(
    folders: Path, tmp_path: Path, evaluate: Callable
) -> None:
    (tmp_path / "linked").symlink_to(folders / "images" / "train")
    same = MaskFolders.find(tmp_path / "linked", folders / "masks" / "train", 3, [VOID])
    with pytest.raises(DenseCLError, match="is among the training images and among the test im"):
        evaluate(Colours(), find(folders, "train"), same, size=(64, 64))


def test_wrong_settings_are_named(folders: Path) -> None:
    train, test = find(folders, "train"), find(folders, "test")
    with pytest.raises(DenseCLError, match="3 clusters are no more than the 3 classes"):
        evaluate_clustering(Colours(), test, [3])
    with pytest.raises(DenseCLError, match="1000 clusters of 320 patches"):
        evaluate_clustering(Colours(), test, [1000], size=(64, 64))
    with pytest.raises(DenseCLError, match="memory of 4 patches is less than one"):
        evaluate_retrieval(Colours(), train, test, memory=4)
    with pytest.raises(DenseCLError, match="2 class names were given for 3 classes"):
        evaluate_retrieval(Colours(), train, test, (64, 64), classes=["a", "b"])


def test_records_name_photos_the_same_from_everywhere(folders: Path, monkeypatch) -> None:
    test = find(folders, "test")
    monkeypatch.chdir(folders.parent)
    relative = find(Path(folders.name), "test")
    names = [
        [r["image"] for r in evaluate_clustering(Colours(), s, size=(64, 64))["records"]]
        for s in (test, relative)
    ]
    assert names[0] == names[1] == [f"{number}.png" for number in range(5)]


@pytest.mark.parametrize("task", ["clustering", "retrieval"])
def test_commands(folders: Path, task: str, capsys: pytest.CaptureFixture[str]) -> None:
    splits = ["test"] if task == "clustering" else ["train", "test"]
    paths = [
        f"--{split}-{kind}={folders / kind / split}"
        for split in splits
        for kind in ("images", "masks")
    ]
    out = folders / "result.json"
    options = ["--backbone", "random", "--num-classes", "3", "--size", "64x64", "--out", str(out)]
    assert main(["evaluate", task, *paths, *options]) == 0
    result = json.loads(out.read_text())
    assert result["task"] == task and len(result["records"]) == 5
    assert f"{100 * result['scores']['mean_iou']:.1f}" in capsys.readouterr().out
    assert list((folders / "xdg_cache").rglob("*.npz"))
    numbers = folders / "numbers.json"
    page = folders / "page.html"
    runs = [f"a={out}", f"b={out}"]
    assert main(["compare", *runs, "--json", str(numbers), "--out", str(page)]) == 0
    assert page.read_text().count("data:image/jpeg") == len(splits)  # of retrieval also patches
    assert json.loads(numbers.read_text())["tasks"][0]["images"] == 5


def read(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file)).astype(int)


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(picture - np.array(colour)).max(axis=2) < 25).nonzero()


def test_predictions_are_drawn_on_their_photos(folders: Path, tmp_path: Path) -> None:
    test = find(folders, "test")
    sets = find(folders, "train"), test
    pictures = tmp_path / "drawn"
    shaded = []
    for evaluate in (
        lambda: evaluate_segmentation(Colours(), *sets, size=(64, 64), pictures=pictures),
        lambda: evaluate_retrieval(Colours(), *sets, (64, 64), k=5, pictures=pictures),
        lambda: evaluate_clustering(Colours(), test, size=(64, 64), pictures=pictures),
    ):
        records = evaluate()["records"]
        assert [r["pictures"]["segmentation"] for r in records] == [
            f"drawn/{place:05}-segmentation.jpg" for place in range(5)
        ]
        shaded.append([read(tmp_path / r["pictures"]["segmentation"]) for r in records])
    for (image, mask), *drawn in zip(test.pairs, *shaded, strict=True):
        classes = np.array(Image.open(mask))[8::16, 8::16]
        expected = draw_classes(np.array(Image.open(image))[8::16, 8::16], classes, 3)
        for picture in drawn:  # all three tasks find the colours in the middle of each square
            assert picture.shape == (240, 240, 3)
            np.testing.assert_allclose(picture[30::60, 30::60], expected, atol=6)


@pytest.mark.parametrize(("stage", "cell"), [(1, 8), (0, 4)])
def test_patches_found_are_drawn(folders: Path, tmp_path: Path, stage: int, cell: int) -> None:
    test = find(folders, "test")
    result = evaluate_retrieval(
        Colours(), find(folders, "train"), test, (64, 64), stage, 5, pictures=tmp_path / "drawn"
    )
    green, orange = PALETTE[2], PALETTE[1]
    framed = {green: 0, orange: 0}
    for record, (_, mask_file) in zip(result["records"], test.pairs, strict=True):
        picture = read(tmp_path / record["pictures"]["retrievals"])
        for colour in framed:
            framed[colour] += len(near(picture, colour)[0])
        # The photo itself is top left, and its frame surrounds a cell of its rarest class.
        mask = np.array(Image.open(mask_file))
        rows, columns = near(picture[:116, :116], PALETTE[0])
        scale = 64 / 120 * (2 * 120 + 8) / 240  # two rows of 120 lines, a gap of 8, as 240 lines
        found = mask[int(np.median(rows) * scale), int(np.median(columns) * scale)]
        # No cell of the first row is mostly of a class: 4 of its pixels, in height, are void.
        counts = np.bincount(mask[cell:].ravel(), minlength=3)
        assert counts[found] == counts[counts > 0].min()
    if stage == 1:  # the colours themselves
        assert framed[green] > 1000 > 100 > framed[orange]
    else:  # nothing, so that the first three patches are found
        assert framed[orange] > 200  # small cells have small frames


def test_clusters_far_apart_are_found_from_any_beginning() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(5, 16, generator=generator), dim=1)
    truth = torch.arange(100) % 5
    noise = torch.randn(100, 16, generator=generator)
    points = F.normalize(centres[truth] + 0.05 * noise, dim=1)
    for seed in range(5):
        found = best_clustering(points, 5, seed, restarts=3)
        pairs = {(int(a), int(b)) for a, b in zip(found, truth, strict=True)}
        assert len(pairs) == 5
    start = spread_centroids(points, 5, torch.Generator().manual_seed(3))
    assert all((points == row).all(dim=1).any() for row in start)
    same = points[:1].expand(4, -1)
    assert spread_centroids(same, 3, generator).shape == (3, 16)  # no point is away from another


def test_counts_may_be_renamed_photo_by_photo() -> None:
    counts = torch.tensor([[2, 0], [1, 3]])
    photos = PixelCounts(("a", "b"), (counts.to_sparse(), counts.T.to_sparse()), counts + counts.T)
    swapped = photos.merged(lambda matrix: matrix.flip(1))
    assert torch.equal(swapped.total, (counts + counts.T).flip(1))
    assert swapped.records()[0] == {"image": "a", "confusion": [[0, 1, 2], [1, 0, 3], [1, 1, 1]]}


@pytest.mark.parametrize("evaluate", [evaluate_segmentation, evaluate_retrieval])
def test_classes_without_a_training_pixel(folders: Path, evaluate, capsys) -> None:
    """One of several is said; if none is known, the sets do not belong together."""
    for file in (folders / "masks/train").iterdir():
        mask = np.asarray(Image.open(file))
        Image.fromarray(np.where(mask == 2, VOID, mask)).save(file)
    told: list[str] = []
    options = dict(size=(64, 64), extraction=Extraction(progress=told.append))
    if evaluate is evaluate_segmentation:
        options["progress"] = told.append
    result = evaluate(Colours(), find(folders, "train"), find(folders, "test"), **options)
    assert "warning: test has classes without any training pixel: 2" in told
    assert result["iou"]["2"] == 0
    for file in (folders / "masks/test").iterdir():
        Image.fromarray(np.full((64, 64), 2, np.uint8)).save(file)
    with pytest.raises(DenseCLError, match="hold only the classes 2, of which the training masks"):
        evaluate(Colours(), find(folders, "train"), find(folders, "test"), **options)


def test_hidden_folders_are_passed_over(folders: Path) -> None:
    hidden = folders / "images/train/.thumbs/x.png"
    hidden.parent.mkdir()
    hidden.write_bytes((folders / "images/train/0.png").read_bytes())
    assert len(find(folders, "train")) == 5
