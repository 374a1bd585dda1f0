"""Classical saliency on pictures with known objects, and against slow computations of the same."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.evaluation.saliency_metrics import saliency_scores
from dense_cl.regions.grouping import touching
from dense_cl.regions.saliency import MinimumBarrier, RobustBackground, SpectralResidual
from dense_cl.regions.saliency.minimum_barrier import (
    backgroundness,
    barrier_distance,
    centre_prior,
    contrasted,
)
from dense_cl.regions.saliency.robust_background import boundary_connectivity, segment_means
from dense_cl.sources import SyntheticScenes
from dense_cl.sources.arrays import ArraySource
from dense_cl.sources.synthetic import render
from dense_cl.views.dataset import ViewDataset

VIEWS = [dict(type="ViewGroup", count=1, size=(16, 16))]
PROVIDERS = [SpectralResidual(), MinimumBarrier(), MinimumBarrier(centre=False), RobustBackground()]


def square(at=(30, 60), side=24, size=(90, 120)) -> tuple[np.ndarray, np.ndarray]:
    """A coloured square on a ramp with a little noise, and its mask."""
    rng = np.random.default_rng(0)
    image = np.linspace(60, 110, size[1])[None, :, None] + rng.normal(0, 3, (*size, 3))
    mask = np.zeros(size, bool)
    mask[at[0] : at[0] + side, at[1] : at[1] + side] = True
    image[mask] = (220, 60, 40)
    return image.clip(0, 255).astype(np.uint8), mask


def resized(found: np.ndarray, shape) -> np.ndarray:
    rows = (np.arange(shape[0]) * found.shape[0] // shape[0])[:, None]
    return found[rows, np.arange(shape[1]) * found.shape[1] // shape[1]]


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: type(p).__name__)
def test_maps_are_of_the_whole_photo_in_range_and_the_same_every_time(provider):
    image, _ = square()
    found = provider.saliency(image, 0)
    assert found.dtype == np.float32 and found.min() == 0 and found.max() == 1
    assert abs(found.shape[0] / found.shape[1] - 90 / 120) < 0.02
    np.testing.assert_array_equal(provider.saliency(image.copy(), 7), found)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("size", [(30, 1000), (1000, 30), (7, 900)])
def test_maps_of_strips_have_their_shape(provider, size):
    image = np.zeros((*size, 3), np.uint8)
    image[: size[0] // 2, : size[1] // 3] = (200, 90, 10)
    images = ViewDataset(ArraySource(image[None], "strip"), VIEWS, saliency=provider)
    assert images.objects(image, 0) is not None  # or an error for another aspect ratio


@pytest.mark.parametrize("provider", PROVIDERS[1:], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("at", [(30, 60), (12, 12)])
def test_a_coloured_square_is_the_only_object(provider, at):
    image, mask = square(at)
    ids = provider(image, 0).label_map
    assert ids.max() == 0
    both = (resized(ids, mask.shape) == 0) & mask
    assert both.sum() / ((resized(ids, mask.shape) == 0) | mask).sum() > 0.85


@pytest.mark.parametrize("at", [(30, 90), (80, 40)])
def test_spectral_residual_fires_at_a_spot_in_a_pattern(at):
    rows, columns = np.indices((128, 128))
    waves = 120 + 50 * np.sin(rows / 4) * np.sin(columns / 5)
    waves[at[0] - 3 : at[0] + 3, at[1] - 3 : at[1] + 3] = 240
    image = np.repeat(waves.astype(np.uint8)[..., None], 3, axis=2)
    found = SpectralResidual().saliency(image, 0)
    peak = np.unravel_index(found.argmax(), found.shape)
    assert np.abs(np.array(peak) * 2 - at).max() <= 6


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (40, 60)])
def test_a_blank_photo_has_nothing_salient(provider, size):
    ids = provider(np.full((*size, 3), 90, np.uint8), 0).label_map
    assert (ids == -1).all()


@pytest.mark.parametrize("provider", PROVIDERS[1:], ids=lambda p: type(p).__name__)
def test_rendered_objects_stand_out_more_than_the_middle_does(provider):
    scenes = SyntheticScenes(count=12, size=(96, 128), seed=3)
    pairs, middle = [], []
    for index in range(12):
        scene = render(scenes.scene(index))
        mask = scene.instances > 0
        pairs.append((resized(provider.saliency(scene.image, index), mask.shape), mask))
        middle.append((centre_prior(*mask.shape), mask))
    assert saliency_scores(pairs)["max_f"] > saliency_scores(middle)["max_f"] + 0.1


def exact_barrier(values: np.ndarray) -> np.ndarray:
    """Smallest barrier over all paths: for every floor, the lowest ceiling above it."""
    height, width = values.shape
    best = np.full(values.shape, np.inf)
    for floor in np.unique(values):
        ceiling = np.full(values.shape, np.inf)
        queue = []
        for row in range(height):
            for column in range(width):
                on_border = row in (0, height - 1) or column in (0, width - 1)
                if on_border and values[row, column] >= floor:
                    ceiling[row, column] = values[row, column]
                    heapq.heappush(queue, (values[row, column], row, column))
        while queue:
            top, row, column = heapq.heappop(queue)
            if top > ceiling[row, column]:
                continue
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                r, c = row + down, column + right
                if 0 <= r < height and 0 <= c < width and values[r, c] >= floor:
                    reached = max(top, values[r, c])
                    if reached < ceiling[r, c]:
                        ceiling[r, c] = reached
                        heapq.heappush(queue, (reached, r, c))
        best = np.minimum(best, ceiling - floor)
    return best


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(3, 7), st.integers(3, 7))
def test_barriers_are_of_real_paths_and_nearly_the_smallest(seed, height, width):
    values = np.random.default_rng(seed).integers(0, 6, (height, width)).astype(np.float32)
    found = barrier_distance(values[..., None], passes=6)[..., 0]
    exact = exact_barrier(values)
    assert (found >= exact).all()  # it approximates from above (Zhang et al., section 3.2)
    assert found.mean() <= exact.mean() + 0.35
    assert (found[[0, -1]] == 0).all() and (found[:, [0, -1]] == 0).all()


def test_barriers_of_a_plateau_behind_a_wall():
    values = np.zeros((9, 11, 1), np.float32)
    values[2:7, 2:9] = 5  # the wall
    values[3:6, 3:8] = 1  # what it surrounds: over the wall and down again costs 5
    found = barrier_distance(values, passes=1)[..., 0]
    expected = np.zeros((9, 11))
    expected[2:7, 2:9] = 5
    np.testing.assert_array_equal(found, expected)
    values[4, 0:3] = 1  # a gate in the wall, of the plateau's height
    assert barrier_distance(values, passes=3)[4, 5, 0] == 0


def test_backgroundness_leaves_the_farthest_side_out():
    """An object that touches one side of the photo stays far from the other three."""
    lab = np.full((40, 40, 3), 100.0, np.float32)
    lab[25:, 10:30] = (100, 180, 60)
    found = backgroundness(lab)
    assert found[30, 20] == 1 and found[5, 5] == 0


def test_contrast_is_raised_around_the_middle():
    values = np.array([[0.0, 0.2, 0.8, 1.0]], np.float32)
    found = contrasted(values)
    sigmoid = 1 / (1 + np.exp(-10 * (values - 0.5)))
    expected = (sigmoid - sigmoid.min()) / (sigmoid.max() - sigmoid.min())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_boundary_connectivity_of_two_flat_regions():
    """With hard regions it is border segments over the root of all segments, by hand."""
    labels = np.arange(36).reshape(6, 6)
    inside = np.zeros(36, bool)
    inside[[14, 15, 20, 21]] = True
    distance = np.where(inside[:, None] != inside, 1000.0, 0.0)
    border = np.flatnonzero([i // 6 in (0, 5) or i % 6 in (0, 5) for i in range(36)])
    found = boundary_connectivity(distance, touching(labels), border)
    np.testing.assert_allclose(found[inside], 0, atol=1e-12)
    np.testing.assert_allclose(found[~inside], 20 / np.sqrt(32), rtol=1e-6)


def test_segment_means_are_means():
    rng = np.random.default_rng(1)
    labels, values = rng.integers(0, 4, (8, 9)), rng.random((8, 9, 3))
    expected = [values[labels == number].mean(axis=0) for number in range(4)]
    np.testing.assert_allclose(segment_means(labels, values), expected)
