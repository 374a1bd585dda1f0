"""Invariance scores against reference vectors, closed forms, and backbones of known invariance."""

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from torch import Tensor, nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.invariance import (
    TRANSFORMS,
    ImageSets,
    Whitening,
    evaluate_invariance,
    firing_rates,
    folder_sets,
    reference_sets,
    scene_sets,
    transform_sets,
)
from dense_cl.evaluation.invariance.whitening import cosines_within, ledoit_wolf
from dense_cl.models import build_backbone
from dense_cl.sources.folder import FolderSource
from dense_cl.sources.synthetic import FACTORS


@pytest.mark.parametrize("case", [1, 2])
def test_firing_matches_the_reference(golden, case):
    vectors = golden(f"demystify_invariance_{case}")
    firing = firing_rates(
        *(torch.from_numpy(vectors[key]) for key in ("features", "instance_ids", "class_ids"))
    )
    for ours, key in [
        (firing.percentile, "firing_percentile"),
        (firing.positive_threshold, "positive_threshold"),
        (firing.negative_threshold, "negative_threshold"),
        (firing.global_rate, "global_firing"),
        (firing.local_rate, "local_firing"),
        (firing.scores(10), "score_top10_per_class"),
        (firing.scores(25), "score_top25_per_class"),
        (firing.percent(10).mean(), "reported_score_top10"),
        (firing.percent(25).mean(), "reported_score_top25"),
    ]:
        np.testing.assert_allclose(ours, vectors[f"expected_{key}"], rtol=1e-8, err_msg=key)


def test_a_neuron_for_each_thing_fires_on_all_of_its_images():
    features = torch.eye(20).repeat_interleave(4, dim=0)
    sets = torch.arange(20).repeat_interleave(4)
    # One neuron fires on the whole set, no other does.
    firing = firing_rates(features + 1e-6 * torch.randn(80, 20), sets)
    assert (firing.local_rate.diagonal() == 0.75).all()  # the lowest of the four is the threshold
    assert firing_rates(torch.ones(80, 20), sets).scores(3).tolist() == [0] * 20


def test_firing_refuses_what_it_cannot_measure():
    features, sets = torch.randn(12, 5), torch.arange(3).repeat_interleave(4)
    with pytest.raises(DenseCLError, match="the 10 best of 5 neurons"):
        firing_rates(features, sets).scores(10)
    with pytest.raises(DenseCLError, match="there is one"):
        firing_rates(features, sets, torch.zeros(12, dtype=torch.long))
    with pytest.raises(DenseCLError, match="no set has 3 images"):
        firing_rates(features, torch.arange(6).repeat_interleave(2))


def test_whitened_distance_is_scipys_mahalanobis():
    features = torch.randn(4000, 6, dtype=torch.double) @ torch.randn(6, 6, dtype=torch.double) + 3
    whitening = Whitening.fit(features)
    assert whitening.shrinkage < 0.01
    covariance = (whitening.factor @ whitening.factor.T).numpy()
    one, two = whitening(features)[:2]
    expected = mahalanobis(features[0], features[1], np.linalg.inv(covariance))
    assert torch.dist(one, two).item() == pytest.approx(expected, rel=1e-9)
    # As released: the cosine after centring and the Cholesky factor of the inverse covariance.
    factor = np.linalg.cholesky(np.linalg.inv(covariance))
    a, b = (features[:2] - features.mean(dim=0)).numpy() @ factor
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert torch.cosine_similarity(one, two, dim=0).item() == pytest.approx(cosine, rel=1e-9)


def test_what_all_images_share_is_no_likeness():
    features = torch.randn(400, 8) + 5  # the reference has mean 0
    whitened = Whitening.fit(torch.randn(400, 8))(features)
    assert whitened.mean(dim=0).abs().max() < 1e-6
    cosines = cosines_within(whitened, torch.arange(100).repeat_interleave(4))
    assert abs(cosines.mean()) < 4 * cosines.std() / 10


def test_shrinkage_against_the_sum_over_images():
    x = torch.randn(30, 8, dtype=torch.double) * torch.linspace(0.2, 2, 8)
    x = x - x.mean(dim=0)
    covariance, shrinkage = ledoit_wolf(x)
    sample, count = x.T @ x / 30, 30
    target = sample.trace() / 8 * torch.eye(8, dtype=torch.double)
    noise = sum(((row.outer(row) - sample) ** 2).sum() for row in x) / count**2
    assert shrinkage == pytest.approx(float(noise / ((sample - target) ** 2).sum()), rel=1e-10)
    assert 0 < shrinkage < 1
    torch.testing.assert_close(covariance, (1 - shrinkage) * sample + shrinkage * target)


def test_fewer_images_than_channels_can_be_whitened():
    whitening = Whitening.fit(torch.randn(20, 64))
    assert 0 < whitening.shrinkage <= 1 and whitening(torch.randn(3, 64)).isfinite().all()
    with pytest.raises(DenseCLError, match="the same features"):
        Whitening.fit(torch.ones(5, 3))
    for few in (1, 2):
        with pytest.raises(DenseCLError, match=f"of {few} reference images is not enough"):
            Whitening.fit(torch.randn(few, 3))
    with pytest.raises(DenseCLError, match="the 10 reference images are copies of two"):
        Whitening.fit(torch.randn(2, 8).repeat(5, 1))


@given(st.lists(st.integers(2, 4), min_size=1, max_size=4), st.integers(0, 100))
def test_cosines_are_the_mean_over_pairs(sizes, seed):
    torch.manual_seed(seed)
    numbers = torch.repeat_interleave(torch.tensor(sizes))
    features = torch.randn(len(numbers), 5, dtype=torch.double)
    for number, value in enumerate(cosines_within(features, numbers)):
        unit = nn.functional.normalize(features[numbers == number], dim=1)
        gram = unit @ unit.T
        pairs = gram[~torch.eye(len(unit), dtype=torch.bool)]
        assert value.item() == pytest.approx(pairs.mean().item(), abs=1e-12)


def photos(folder: Path, count: int = 6) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        blobs = cv2.resize(rng.integers(0, 255, (4, 4, 3), np.uint8), (40, 32))
        cv2.imwrite(str(folder / f"{number}.png"), blobs)
    return folder


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_keep_the_first_and_change_the_others(tmp_path: Path, transform: str) -> None:
    source = FolderSource(photos(tmp_path, 2))
    sets = transform_sets(source, [0, 1], transform, 4, 24)
    images = sets.load(1)
    assert images.shape == (len(sets.strengths) + 1, 24, 24, 3) and images.dtype == torch.uint8
    assert torch.equal(images, sets.load(1)) and sets.names == ("0.png", "1.png")
    for changed in images[1:]:  # the weakest blur of so few pixels is a weak one
        assert (changed.int() - images[0].int()).abs().float().mean() > 0.2


def test_transforms_do_what_they_are_called(tmp_path: Path) -> None:
    source = FolderSource(photos(tmp_path, 1))

    def load(transform: str, steps: int) -> Tensor:
        return transform_sets(source, [0], transform, steps, 24).load(0)

    original, *turned = load("rotation", 4)  # by 90, 180 and 270 degrees
    assert torch.equal(turned[1], original.flip(0, 1))
    assert torch.equal(load("flip", 2)[1], original.flip(1))
    hues = load("hue", 4)[1:]
    assert (hues.max(dim=-1).values.int() - original.max(dim=-1).values.int()).abs().max() <= 1
    gray = load("grayscale", 2)[1]
    assert torch.equal(gray[..., 0], gray[..., 1]) and torch.equal(gray[..., 1], gray[..., 2])
    crop = load("crop", 3)[2]  # a quarter of the side, 250 % 4 == 2: the lower left corner
    corner = original[18:, :6].float().mean(dim=(0, 1))
    torch.testing.assert_close(crop.float().mean(dim=(0, 1)), corner, atol=3, rtol=0)


@pytest.mark.parametrize("factor", FACTORS)
def test_scenes_differ_in_one_factor_and_are_repeatable(factor: str) -> None:
    sets = scene_sets(factor, 2, 3, 32, seed=4)
    images = sets.load(1)
    assert images.shape == (3, 32, 32, 3)
    assert torch.equal(images, scene_sets(factor, 5, 3, 32, seed=4).load(1))
    assert not torch.equal(images[0], images[1]) and not torch.equal(images[1], images[2])


class MeanColour(nn.Module):
    """Pooled: the mean of each channel, and of red in each quarter."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        mean = image.mean(dim=(2, 3), keepdim=True)
        quarters = nn.functional.adaptive_avg_pool2d(image[:, :1], 2)
        return (torch.cat([mean, quarters.flatten(1)[:, :, None, None]], dim=1),)


class Brightness(nn.Module):
    """Pooled: the mean over channels in a grid of 3x3; blind to colour, not to place."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        grid = nn.functional.adaptive_avg_pool2d(image.mean(dim=1, keepdim=True), 3)
        return (grid.flatten(1)[:, :, None, None],)


def test_a_backbone_is_invariant_to_what_it_cannot_see(tmp_path: Path) -> None:
    source = FolderSource(photos(tmp_path, 12))
    groups = {
        name: transform_sets(source, range(12), name, 4, 24) for name in ("flip", "rotation", "hue")
    }
    reference = reference_sets(source, 24)
    colour = evaluate_invariance(MeanColour(), groups, reference, {"size": 24})
    mirrored = groups["flip"].load(0).float().mean(dim=(1, 2))
    assert torch.equal(mirrored[0], mirrored[1])
    scores = colour["scores"]
    assert scores["hue_cosine"] < 0.5 and scores["flip_cosine"] < 1  # it sees the quarters
    assert colour["task"] == "invariance" and set(colour["nulls"]) == {"permuted"}
    assert "flip_firing10" not in scores  # sets of two
    assert colour["curves"]["rotation"]["strength"] == [90, 180, 270]
    # Records are what the scores are made of.
    for name, score in scores.items():
        values = [record[name] for record in colour["records"]]
        assert score == pytest.approx(np.mean(values))
        low, high = colour["intervals"][name]
        assert low < score < high
        assert abs(colour["nulls"]["permuted"]["scores"][name]) < 0.35

    gray = transform_sets(source, range(12), "grayscale", 2, 24)
    seen = evaluate_invariance(Brightness(), {"gray": gray}, reference, {})["scores"]
    blind = evaluate_invariance(Average(), {"flip": groups["flip"]}, reference, {})["scores"]
    assert seen["gray_cosine"] < 0.999 and blind["flip_cosine"] == pytest.approx(1, abs=1e-6)


class Average(nn.Module):
    """Pooled: the mean colour, which no mirror changes."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (image,)


def objects(folder: Path, classes: bool = False) -> Path:
    for number in range(4):
        place = folder / ("round" if number % 2 else "square") if classes else folder
        photos(place / f"object{number}", 3)
    return folder


def test_folders_of_sets(tmp_path: Path) -> None:
    sets = folder_sets(objects(tmp_path / "a"), 16)
    assert sets.names == tuple(f"object{n}" for n in range(4)) and not sets.classes
    assert sets.load(3).shape == (3, 16, 16, 3)
    classed = folder_sets(objects(tmp_path / "b", classes=True), 16)
    assert classed.classes == ("round", "round", "square", "square")
    assert classed.names[0] == "round/object1"


def test_a_result_names_its_backbone(tmp_path: Path) -> None:
    pictures = torch.randint(0, 255, (3, 3, 32, 32, 3), dtype=torch.uint8)
    groups = {"sets": ImageSets(tuple("abc"), lambda i: pictures[i])}
    torch.manual_seed(0)
    file = tmp_path / "mine.pth"
    torch.save(build_backbone({"type": "ResNet", "depth": 18}).state_dict(), file)
    for backbone, name, nulls in [
        (file, str(file), {"permuted", "random_init"}),
        ("random:resnet18", "random:resnet18", {"permuted"}),
        (Average(), "Average", {"permuted"}),
    ]:
        result = evaluate_invariance(backbone, groups, None, {})
        assert result["backbone"] == name and set(result["nulls"]) == nulls


def test_classes_share_a_firing_score() -> None:
    pictures = torch.randint(0, 255, (4, 3, 8, 8, 3), dtype=torch.uint8)
    sets = ImageSets(tuple("abcd"), lambda i: pictures[i], ("x", "x", "y", "y"))

    class Wide(nn.Module):
        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            return (image.flatten(1)[:, :30, None, None],)

    result = evaluate_invariance(Wide(), {"sets": sets}, None, {})
    assert result["scores"].keys() == {"sets_cosine", "sets_firing10", "sets_firing25"}
    assert "sets_firing10" not in result["records"][0] and len(result["records"]) == 4
    # With a single class, or none, sets are compared with one another.
    single = evaluate_invariance(Wide(), {"sets": replace(sets, classes=("x",) * 4)}, None, {})
    assert single == evaluate_invariance(Wide(), {"sets": replace(sets, classes=())}, None, {})
    assert "sets_firing10" in single["records"][0]


def test_sets_of_two_have_no_firing_rate() -> None:
    pictures = torch.randint(0, 255, (6, 4, 8, 8, 3), dtype=torch.uint8)
    mixed = ImageSets(tuple("abcdef"), lambda i: pictures[i, : 2 if i < 3 else 4])

    class Wide(nn.Module):
        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            return (image.flatten(1)[:, :30, None, None],)

    result = evaluate_invariance(Wide(), {"sets": mixed}, None, {})
    firing = [record.get("sets_firing10") for record in result["records"]]
    assert firing[:3] == [None] * 3 and all(firing[3:])
    assert result["scores"]["sets_firing10"] == pytest.approx(sum(firing[3:]) / 3)
    low, high = result["intervals"]["sets_firing10"]
    assert low < result["scores"]["sets_firing10"] < high
    by_class = replace(mixed, classes=("x", "x", "x", "y", "y", "z"))
    of_classes = evaluate_invariance(Wide(), {"sets": by_class}, None, {})["scores"]
    assert of_classes["sets_firing10"] > 0  # the class of small sets is left out


def test_a_factor_of_one_is_no_change(tmp_path: Path) -> None:
    source = FolderSource(photos(tmp_path, 2))
    assert 1 not in transform_sets(source, [0, 1], "scale", 9, 16).strengths
    assert len(transform_sets(source, [0, 1], "scale", 9, 16).strengths) == 7
    assert len(transform_sets(source, [0, 1], "brightness", 9, 16).strengths) == 8


def test_sets_that_show_the_same_have_no_interval() -> None:
    pictures = torch.randint(0, 255, (4, 1, 8, 8, 3), dtype=torch.uint8)
    copies = ImageSets(tuple("abcd"), lambda i: pictures[i].repeat(2, 1, 1, 1))
    result = evaluate_invariance(Average(), {"copies": copies}, None, {})
    assert result["scores"]["copies_cosine"] == pytest.approx(1)
    assert result["intervals"]["copies_cosine"] == [None, None]


def test_wrong_sets_are_named(tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="Did you mean 'occlusion'"):
        scene_sets("oclusion", 2, 2, 32)
    with pytest.raises(DenseCLError, match="two scenes of two pictures"):
        scene_sets("occlusion", 1, 2, 32)
    source = FolderSource(photos(tmp_path / "flat", 2))
    with pytest.raises(DenseCLError, match="Did you mean 'rotation'"):
        transform_sets(source, [0], "rotate", 2, 16)
    with pytest.raises(DenseCLError, match="1 steps"):
        transform_sets(source, [0], "hue", 1, 16)
    with pytest.raises(DenseCLError, match="no image lies beside"):
        folder_sets(tmp_path / "flat", 16)
    with pytest.raises(DenseCLError, match="'hue' has a single set of images"):
        one = transform_sets(source, [0], "hue", 4, 16)
        evaluate_invariance(Average(), {"hue": one}, None, {})
    photos(tmp_path / "few" / "one", 3)
    with pytest.raises(DenseCLError, match="1 sets of two images"):
        folder_sets(tmp_path / "few", 16)


def test_features_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of scenes, transforms, folders and the reference; by the backbone and by its null."""
    torch.manual_seed(7)  # not the null
    file = tmp_path / "mine.pth"
    torch.save(build_backbone({"type": "ResNet", "depth": 18}).state_dict(), file)
    source = FolderSource(photos(tmp_path / "p", 3))
    folder = objects(tmp_path / "o")

    def groups(steps: int = 3) -> dict[str, ImageSets]:
        return {
            "occlusion": scene_sets("occlusion", 2, steps, 32),
            "flip": transform_sets(source, [0, 2], "flip", 2, 32),
            "sets": folder_sets(folder, 32),
        }

    seen = []
    run = FrozenBackbone.pooled
    monkeypatch.setattr(FrozenBackbone, "pooled", lambda f, x: seen.append(len(x)) or run(f, x))

    def evaluate(sets: dict[str, ImageSets], seed: int = 0, cached: bool = True) -> dict:
        seen.clear()
        cache = tmp_path / "cache" if cached else None
        return evaluate_invariance(file, sets, reference_sets(source, 32), {}, seed, cache)

    first = evaluate(groups())
    assert sum(seen) == 2 * (2 * 3 + 2 * 2 + 4 * 3 + 3)
    assert evaluate(groups(), cached=False) == first  # not kept, the same to the last digit
    with monkeypatch.context() as patched:
        patched.setattr(FolderSource, "load", None)  # nothing is read
        assert evaluate(groups()) == first and not seen
    # Only what changes is computed again: the null of another seed, a factor, a photo.
    evaluate(groups(), seed=1)
    assert sum(seen) == 2 * 3 + 2 * 2 + 4 * 3 + 3
    evaluate(groups(steps=4))
    assert sum(seen) == 2 * (2 * 4)
    os.utime(folder / "object2" / "1.png", ns=(1, 1))
    evaluate(groups())
    assert sum(seen) == 2 * (4 * 3)
    os.utime(tmp_path / "p" / "2.png", ns=(1, 1))
    evaluate(groups())
    assert sum(seen) == 2 * (2 * 2 + 3)


def test_sets_of_one_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The layout of classes with a single one, as ``sets/car/<instance>``."""
    objects(tmp_path / "sets" / "car")
    command = ["evaluate", "invariance", "--backbone", "random", "--size", "32", "--sets"]
    outputs = []
    for folder in (tmp_path / "sets", tmp_path / "sets" / "car"):
        assert main([*command, str(folder)]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] and "sets_firing10" in outputs[0]


def test_command_line(tmp_path: Path, capsys) -> None:
    command = ["evaluate", "invariance", "--backbone", "random", "--size", "32"]
    out = tmp_path / "out.json"
    scenes = ["--scenes", "3", "--steps", "3", "--factors", "occlusion", "--reference-scenes", "8"]
    assert main([*command, *scenes, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert len(result["records"]) == 3 and "occlusion_cosine" in result["scores"]
    assert result["settings"]["factors"] == ["occlusion"]
    assert "occlusion_firing10" in capsys.readouterr().out
    sweeps = ["--images", str(photos(tmp_path / "p")), "--transforms", "flip", "--max-images", "3"]
    assert main([*command, *sweeps, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert [r["image"] for r in result["records"]] == ["0.png", "2.png", "5.png"]
    sets = ["--sets", str(objects(tmp_path / "s")), "--reference", str(tmp_path / "p")]
    assert main([*command, *sets, "--out", str(out)]) == 0
    assert json.loads(out.read_text())["settings"]["reference"]["images"] == 6
    assert main([*command, "--scenes", "3", "--transforms", "flip"]) == 2
    assert "--transforms belongs to --images;" in capsys.readouterr().err
    assert main([*command, *sets, "--steps", "3"]) == 2
    assert "--steps belongs to --scenes and --images;" in capsys.readouterr().err
