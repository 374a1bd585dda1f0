"""Matches of features that know their place are right, and chance is what chance gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dense_cl.evaluation import matching
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.matching import compare_matches, match_rate, match_views
from dense_cl.views.batch import ViewBatch

SIZE = 256


class Pooled(nn.Module):
    """A "backbone" with a cell for every 16 pixels that keeps the colours."""

    def forward(self, image):
        pooled = nn.functional.avg_pool2d(image, 16)
        return (pooled,)


class Nothing(nn.Module):
    """Features that are noise."""

    def forward(self, image):
        return (torch.randn(len(image), 64, 16, 16),)


def _views(shift=(0.0, 0.0), mirrored=False) -> tuple[ViewBatch, ViewBatch]:
    """Two crops of a picture whose colour is its place: 256 of 512 pixels, the second one moved."""
    y, x = torch.meshgrid(torch.arange(512), torch.arange(512), indexing="ij")
    source = torch.stack([x / 2, y / 2, 255 - (x + y) / 4], dim=-1).round().to(torch.uint8)

    def view(left, top, flip):
        image = source[top : top + SIZE, left : left + SIZE]
        matrix = [[1.0, 0.0, left], [0.0, 1.0, top]]
        if flip:
            image, matrix = image.flip(1), [[-1.0, 0.0, left + SIZE], [0.0, 1.0, top]]
        return ViewBatch(
            image[None], torch.tensor([matrix], dtype=torch.float64),
            torch.tensor([[512, 512]]), (SIZE, SIZE),
        )  # fmt: skip

    return view(100, 100, False), view(100 + int(shift[0]), 100 + int(shift[1]), mirrored)


@pytest.mark.parametrize("mirrored", [False, True])
def test_features_that_show_the_place_find_it(mirrored):
    left, right = _views((64, 32), mirrored)
    (pair,) = match_views(FrozenBackbone.wrap(Pooled()), left, right)
    assert len(pair.start) == 12 * 14  # four columns and two rows left the view
    assert pair.correct.mean() > 0.95
    expected = pair.start - (64, 32)
    if mirrored:
        expected[:, 0] = SIZE - expected[:, 0]
    np.testing.assert_allclose(pair.truth, expected)
    np.testing.assert_allclose(pair.match[pair.correct], pair.truth[pair.correct], atol=16)


def test_noise_finds_it_by_chance():
    left, right = _views()
    pairs = [match_views(FrozenBackbone.wrap(Nothing()), left, right)[0] for _ in range(20)]
    rate, chance = match_rate(pairs)
    # With aligned grids only the cell itself is less than one cell away.
    assert chance == pytest.approx(1 / 256)
    assert rate < 4 * chance


def test_views_without_overlap_count_for_nothing():
    left, right = _views((256, 0))
    (pair,) = match_views(FrozenBackbone.wrap(Pooled()), left, right)
    assert len(pair.start) == 0
    (other,) = match_views(FrozenBackbone.wrap(Pooled()), *_views())
    assert match_rate([pair, other]) == match_rate([other])


def test_each_backbone_is_compared_on_its_own_side(tmp_path, monkeypatch):
    from PIL import Image

    rng = np.random.default_rng(0)
    for index in range(3):
        pixels = rng.integers(0, 255, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    same = compare_matches(tmp_path, "random", "random", seed=4, view_size=96, examples=2)
    assert same.rates["before"] == same.rates["after"]
    assert same.rates["images"] == 3
    assert len(same.examples) == 2
    left, right, before, after = same.examples[0]
    assert left.shape == right.shape == (96, 96, 3)
    np.testing.assert_array_equal(before.match, after.match)

    def some_right(number, left, right):
        right_ones = np.arange(4) < number
        return [replace(before, start=np.zeros((4, 2)), correct=right_ones) for _ in range(3)]

    monkeypatch.setattr(matching.FrozenBackbone, "load", lambda name, seed: int(name))
    monkeypatch.setattr(matching, "match_views", some_right)
    other = compare_matches(tmp_path, "1", "3", view_size=96)
    assert (other.rates["before"], other.rates["after"]) == (0.25, 0.75)
    assert [pair[2:] for pair in other.examples][0][1].correct.sum() == 3
