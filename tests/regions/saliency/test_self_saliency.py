"""Saliency from features, on a backbone without training and on features made by hand."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.errors import DenseCLError
from dense_cl.regions import backbone_cells
from dense_cl.regions.extract import extract_regions
from dense_cl.regions.saliency import (
    ClusterSaliency,
    FeatureBackground,
    LostSaliency,
    TokenCutSaliency,
)
from dense_cl.regions.saliency.feature_background import cell_shares
from dense_cl.sources import SyntheticScenes
from dense_cl.transfer.export import export_backbone
from tests.transfer.files import pretrained

KINDS = [ClusterSaliency, FeatureBackground, LostSaliency, TokenCutSaliency]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("weights")
    pretrained(dict(type="ResNet", depth=18), folder / "run.pth")
    export_backbone(folder / "run.pth", folder / "backbone.pth")
    return str(folder / "backbone.pth")


def image(height=72, width=96) -> np.ndarray:
    rng = np.random.default_rng(0)
    pixels = rng.normal(90, 8, (height, width, 3))
    inside = pixels[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3]
    inside[:] = rng.normal((230, 60, 30), 8, inside.shape)
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_of_the_whole_photo_in_range_and_the_same_every_time(kind, weights):
    provider = kind(weights, size=96, stage=1)
    found = provider.saliency(image(), 0)
    assert found.shape == (72, 96) and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1
    np.testing.assert_array_equal(provider.saliency(image(), 5), found)
    np.testing.assert_array_equal(
        kind("random", size=96, stage=1).saliency(image(), 0),
        kind("random", size=96, stage=1).saliency(image(), 1),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_settings_tell_what_the_weights_hold_and_not_where(kind, weights, tmp_path):
    copy = tmp_path / "elsewhere.pth"
    copy.write_bytes(open(weights, "rb").read())
    assert kind(weights).settings() == kind(str(copy)).settings()
    copy.write_bytes(copy.read_bytes() + b" ")
    assert kind(weights).settings() != kind(str(copy)).settings()
    assert kind(weights, stage=0).settings() != kind(weights).settings()
    assert kind("random").settings()["weights"] == "random"


def test_the_backbone_is_loaded_once(weights, monkeypatch):
    from dense_cl.evaluation.frozen import FrozenBackbone

    loads = []
    load = FrozenBackbone.load.__func__
    monkeypatch.setattr(
        FrozenBackbone, "load", classmethod(lambda cls, *a: loads.append(a) or load(cls, *a))
    )
    backbone_cells._backbone.cache_clear()
    provider = ClusterSaliency(weights, size=64)
    for index in range(3):
        provider(image(), index)
    assert len(loads) == 1


def test_wrong_weights_stage_and_options(weights):
    with pytest.raises(DenseCLError, match=r"regions LostSaliency: weights 'nowhere.pth' is not a"):
        LostSaliency("nowhere.pth")
    with pytest.raises(DenseCLError, match="regions ClusterSaliency: stage 9 does not exist"):
        ClusterSaliency(weights, stage=9, size=64)(image(), 0)
    with pytest.raises(DenseCLError, match="size is 32 or more"):
        TokenCutSaliency(weights, size=8)
    with pytest.raises(DenseCLError, match="pixels and scale are positive"):
        FeatureBackground(weights, scale=0)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(72, 96), (100, 40)])
def test_the_mirrored_margin_is_cut_off_again(weights, stage, size):
    """A photo that continues as its mirror image looks the same at its border as inside."""
    provider = ClusterSaliency("random", stage=stage, size=96)
    found = provider.features(image(*size))
    scale = 96 / max(size) / 32
    expected = [max(1, round(n * scale)) * 32 // 4 // 2**stage for n in size]
    assert list(found.shape[1:]) == expected
    flat = provider.features(np.full((*size, 3), 200, np.uint8))
    spread = (flat - flat.mean(dim=(1, 2), keepdim=True)).abs().max()
    # Cells of the two deeper stages look farther than the margin of 64 pixels.
    assert stage > 1 or spread < 1e-4 * flat.abs().max()


def planted(height=10, width=12) -> tuple[torch.Tensor, np.ndarray]:
    """Features of one direction, but for an object of another, with noise."""
    generator = torch.Generator().manual_seed(0)
    mask = np.zeros((height, width), bool)
    mask[3:7, 4:9] = True
    features = 0.1 * torch.randn(8, height, width, generator=generator)
    features[0] += 1
    features[:, torch.from_numpy(mask)] += torch.tensor([-2.0, 2, 0, 0, 0, 0, 0, 0])[:, None]
    return features, mask


@pytest.mark.parametrize("kind", [ClusterSaliency, LostSaliency, TokenCutSaliency])
def test_a_planted_object_is_found(kind):
    features, mask = planted()
    options = dict(k_patches=20) if kind is LostSaliency else {}
    found = kind("random", **options).of_cells(features)
    assert found[mask].mean() > 0.9 and found[~mask].mean() < 0.2


def test_features_with_an_object_are_found_through_superpixels(monkeypatch):
    features, mask = planted()
    provider = FeatureBackground("random", size=120, pixels=100)
    monkeypatch.setattr(FeatureBackground, "features", lambda self, image: features)
    blank = np.full((100, 120, 3), 128, np.uint8)  # colours say nothing
    found = provider.saliency(blank, 0)
    truth = mask.repeat(10, axis=0).repeat(10, axis=1)
    assert found[truth].mean() > found[~truth].mean() + 0.6


@settings(max_examples=30)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 1000))
def test_shares_of_cells_are_bilinear(rows, columns, seed):
    rng = np.random.default_rng(seed)
    labels = np.unique(rng.integers(0, 5, (18, 14)), return_inverse=True)[1].reshape(18, 14)
    cells = torch.from_numpy(rng.random((1, 3, rows, columns)))
    dense = torch.nn.functional.interpolate(cells, (18, 14), mode="bilinear", align_corners=False)
    expected = [dense[0][:, labels == number].mean(dim=1).numpy() for number in np.unique(labels)]
    found = cell_shares(labels, (rows, columns)) @ cells[0].flatten(1).T.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_weights_that_are_written_again_are_loaded_again(weights, tmp_path):
    file = tmp_path / "backbone.pth"
    shutil.copy(weights, file)
    provider = FeatureBackground(str(file), size=64)
    before, said = provider.saliency(image(), 0), provider.settings()
    torch.manual_seed(1)
    pretrained(dict(type="ResNet", depth=18), tmp_path / "run.pth")
    export_backbone(tmp_path / "run.pth", file)
    assert provider.settings() != said
    assert not np.array_equal(provider.saliency(image(), 0), before)


def test_forked_workers_leave_the_gpu_alone(weights, tmp_path, monkeypatch):
    """A process that has asked CUDA anything cannot be forked into one that uses it."""
    scenes = SyntheticScenes(2, (48, 64))
    here = extract_regions(scenes, ClusterSaliency(weights, size=64), tmp_path / "here")
    monkeypatch.setattr("dense_cl.evaluation.frozen.get_device", lambda: "no device at all")
    there = extract_regions(scenes, ClusterSaliency(weights, size=64), tmp_path / "there", 1)
    assert there == here
