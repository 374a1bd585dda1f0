"""Features and their cache: what is computed again and what is not, kills, damage, workers."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.evaluation import feature_store
from dense_cl.evaluation import features as features_module
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.pictures import PREPARATIONS, Pictures
from dense_cl.models import build_backbone
from dense_cl.sources.arrays import ArraySource
from dense_cl.sources.folder import FolderSource

VIT = dict(model_name="vit_tiny_patch16_224", img_size=64, depth=4, num_heads=3)


class Counting(nn.Module):
    """Two stages; counts the images it has seen (in private), and may be killed."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self._seen, self._killed_after = 0, 10**9

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        if self._seen >= self._killed_after:
            raise KeyboardInterrupt
        self._seen += len(image)
        return image * self.gain, nn.functional.avg_pool2d(image * self.gain, 4)


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    rng = np.random.default_rng(0)
    for index in range(11):
        pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index:02d}.png")
    return Pictures(FolderSource(tmp_path), "whole", (8, 12))


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "PART", 4)
    monkeypatch.setattr(features_module, "BATCH", 3)


def extract(module: nn.Module, pictures: Pictures, cache: Path | None, workers: int = 0) -> Tensor:
    return Extraction(cache, workers).pooled(FrozenBackbone.wrap(module), pictures, "test")


def test_features_are_those_of_the_backbone_in_order(pictures, tmp_path):
    frozen = FrozenBackbone.wrap(Counting())
    images = torch.stack([pictures[i] for i in range(11)])
    pooled = Extraction(tmp_path / "c").pooled(frozen, pictures, "test")
    torch.testing.assert_close(pooled, frozen.pooled(images))
    first, last = Extraction(tmp_path / "c").maps(frozen, pictures, [0, -1], "test")
    assert first.shape == (11, 3, 8, 12) and last.shape == (11, 3, 2, 3)
    torch.testing.assert_close(last.mean(dim=(2, 3)), pooled)
    assert not first.is_inference() and first.is_contiguous()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_second_time_nothing_runs_and_the_bits_are_the_same(pictures, tmp_path, workers):
    module = Counting()
    first = extract(module, pictures, tmp_path / "c", workers)
    assert module._seen == 11
    assert torch.equal(extract(module, pictures, tmp_path / "c"), first)
    assert module._seen == 11
    assert torch.equal(extract(Counting(), pictures, None), first)


def test_a_killed_run_goes_on_with_the_first_part_that_is_missing(pictures, tmp_path):
    whole = extract(Counting(), pictures, None)
    module = Counting()
    module._killed_after = 7  # of parts 0..3, 4..7, 8..10: in the second half of the second
    with pytest.raises(KeyboardInterrupt):
        extract(module, pictures, tmp_path / "c")
    again = Counting()
    assert torch.equal(extract(again, pictures, tmp_path / "c"), whole)
    assert again._seen == 7


def test_a_damaged_part_is_computed_again(pictures, tmp_path):
    whole = extract(Counting(), pictures, tmp_path / "c")
    part = sorted((tmp_path / "c").rglob("*.npz"))[1]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 255
    part.write_bytes(content)
    module = Counting()
    assert torch.equal(extract(module, pictures, tmp_path / "c"), whole)
    assert module._seen == 4


@pytest.mark.parametrize(
    "change", ["weights", "mean", "size", "preparation", "image", "code", "library"]
)
def test_whatever_decides_the_features_makes_new_ones(pictures, tmp_path, monkeypatch, change):
    extract(Counting(), pictures, tmp_path / "c")
    module = Counting(2.0 if change == "weights" else 1.0)
    if change == "mean":
        module.normalization = dict(mean=[1.0, 2.0, 3.0], std=[1.0] * 3)
    if change == "size":
        pictures = Pictures(pictures.source, "whole", (12, 12))
    if change == "preparation":
        pictures = Pictures(pictures.source, "stretched", (8, 12))
    if change == "image":
        file = tmp_path / "05.png"
        Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(file)
        os.utime(file, ns=(1, 1))
    if change == "code":
        monkeypatch.setattr(feature_store, "_CODE", ("evaluation/features.py",))
    if change == "library":
        monkeypatch.setattr("PIL.__version__", "0.0")
    found = extract(module, pictures, tmp_path / "c")
    assert module._seen == 11
    fresh = Counting(2.0 if change == "weights" else 1.0)
    if change == "mean":
        fresh.normalization = module.normalization
    assert torch.equal(found, extract(fresh, pictures, None))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(pictures, tmp_path, workers):
    (tmp_path / "07.png").write_bytes(b"no image")
    with pytest.raises(DenseCLError, match=r"image '.*07\.png' cannot be read"):
        extract(Counting(), pictures, None, workers)


def test_wrong_stages_and_a_cache_that_cannot_be_written(pictures, tmp_path):
    with pytest.raises(DenseCLError, match="stage 2 does not exist: the backbone has 2 stages"):
        Extraction().maps(FrozenBackbone.wrap(Counting()), pictures, [2], "test")
    (tmp_path / "file").write_text("")
    with pytest.raises(DenseCLError, match="cache .* cannot be written .* --no-cache"):
        extract(Counting(), pictures, tmp_path / "file")


def test_a_disk_that_fills_up_is_one_message(pictures, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(feature_store.np, "savez", full)
    with pytest.raises(DenseCLError, match=r"cache .* cannot be written \(No space left on device"):
        extract(Counting(), pictures, tmp_path / "c")


def test_progress_says_how_long_still(pictures, tmp_path, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(features_module, "_EVERY", 0.0)
    frozen = FrozenBackbone.wrap(Counting())
    extraction = Extraction(tmp_path / "c", progress=lines.append)
    extraction.pooled(frozen, pictures, "training")
    assert lines[0] == "features of training images: 11"
    assert lines[1].startswith("features of training images: 3 of 11, ")
    assert lines[-1].endswith("11 of 11, 0 s left")
    extraction.pooled(frozen, pictures, "training")
    assert lines[-1] == "features of training images: 11, 11 of them from the cache"


def test_preparations_look_at_what_they_say():
    """On an image of 40 x 80 whose columns are marked, by hand."""
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :20], image[:, 60:] = 100, 200
    shown = {name: function(image, (40, 40)) for name, function in PREPARATIONS.items()}
    assert all(each.shape == (40, 40, 3) for each in shown.values())
    assert not shown["square"].any()  # columns 20..59
    assert not shown["centre"].any()
    # All columns in 40: a quarter each way is marked, but for the blend at its end.
    whole = shown["whole"][0, :, 0]
    assert (whole[:20] == 100).sum() == 9 and (whole[20:] == 200).sum() == 9
    # All columns in 46, of which the middle 40 are seen.
    assert shown["stretched"][0, 0, 0] == 100 and shown["stretched"][0, -1, 0] == 200
    assert 6 <= (shown["stretched"][0, :20, 0] == 100).sum() <= 8


@pytest.mark.parametrize(
    "first, second",
    [
        (dict(type="ResNet", depth=18), dict(type="ResNet", depth=18, out_indices=(0, 3))),
        (dict(type="TimmBackbone", **VIT), dict(type="TimmBackbone", **VIT, out_indices=(1, 3))),
        (dict(type="TimmBackbone", **VIT), dict(type="TimmBackbone", **VIT, pyramid=True)),
        (dict(type="TimmBackbone", **VIT), dict(type="TimmBackbone", **VIT | dict(num_heads=6))),
    ],
)
def test_other_levels_and_heads_of_the_same_weights_are_another_backbone(first, second):
    prints = []
    for cfg in (first, second, second):
        torch.manual_seed(0)
        prints.append(FrozenBackbone.wrap(build_backbone(cfg)).fingerprint)
    assert prints[0] != prints[1] == prints[2]


def test_arrays_are_known_by_their_pixels():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    other = images.copy()
    other[1, 3, 3, 2] = 1
    first, second = (Pictures(ArraySource(x, "t"), "square", (8, 8)) for x in (images, other))
    assert first.facts() != second.facts()


def test_the_request_names_all_code_and_libraries_that_decide(pictures):
    wanted = feature_store.request(FrozenBackbone.wrap(Counting()), pictures.facts())
    assert set(wanted["versions"]) == {"torch", "torchvision", "timm", "numpy", "opencv", "pillow"}
    root = Path(feature_store.dense_cl.__file__).parent
    assert all((root / name).exists() for name in feature_store._CODE)
