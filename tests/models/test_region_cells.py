"""Regions on the cells of a grid against counting pixel by pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.models.region_cells import (
    cell_labels,
    cell_shares,
    drop_rate,
    region_areas,
    region_shares,
)


def brute_force(labels: np.ndarray, grid: tuple[int, int], regions: int) -> np.ndarray:
    """Overlap of every pixel with every cell, one at a time: (R + 1, h, w), none last."""
    height, width = labels.shape
    shares = np.zeros((regions + 1, *grid))
    cell_h, cell_w = height / grid[0], width / grid[1]
    for (y, x), label in np.ndenumerate(labels):
        for row, column in np.ndindex(*grid):
            overlap_y = min(y + 1, (row + 1) * cell_h) - max(y, row * cell_h)
            overlap_x = min(x + 1, (column + 1) * cell_w) - max(x, column * cell_w)
            if overlap_y > 0 and overlap_x > 0:
                shares[label, row, column] += overlap_y * overlap_x / (cell_h * cell_w)
    return shares


@settings(max_examples=40)
@given(
    st.integers(1, 13), st.integers(1, 13), st.integers(1, 13), st.integers(1, 13),
    st.integers(0, 5), st.integers(0, 2**31),
)  # fmt: skip
def test_shares_and_labels_are_those_of_counting(height, width, rows, columns, regions, seed):
    grid = (min(rows, height), min(columns, width))
    labels = np.random.default_rng(seed).integers(-1, regions, (2, height, width))
    batch = torch.from_numpy(labels.astype(np.int16))
    expected = np.stack([brute_force(image, grid, regions) for image in labels])
    np.testing.assert_allclose(cell_shares(batch, grid, regions), expected[:, :-1], atol=1e-6)
    found = cell_labels(batch, grid).numpy()
    best = np.take_along_axis(expected, np.where(found < 0, regions, found)[:, None], axis=1)
    np.testing.assert_allclose(best[:, 0], expected.max(axis=1), atol=1e-9)


def test_ties_go_to_the_lower_region_and_never_to_none():
    labels = torch.tensor([[[2, 2, 1, 1], [-1, -1, 0, 0]]], dtype=torch.int16)
    assert cell_labels(labels, (1, 2)).tolist() == [[[2, 0]]]
    assert cell_labels(labels, (2, 1)).tolist() == [[[1], [0]]]
    assert cell_labels(torch.full((1, 2, 2), -1), (1, 1)).tolist() == [[[-1]]]


def test_chosen_regions_in_their_order_and_nothing_for_absent_ones():
    labels = torch.tensor([[[0, 3], [3, -1]], [[5, 5], [5, 5]]], dtype=torch.int16)
    shares = region_shares(labels, torch.tensor([[3, -1, 0, 3], [0, 5, 9, -1]]), (1, 1))
    assert shares[..., 0, 0].tolist() == [[0.5, 0, 0.25, 0.5], [0, 1, 0, 0]]


def test_areas_and_drop_rate():
    first = torch.tensor([[[0, 1], [2, 2]], [[0, 0], [-1, -1]]], dtype=torch.int16)
    second = torch.tensor([[[2, 2], [2, 4]], [[0, 1], [1, 1]]], dtype=torch.int16)
    assert region_areas(first).tolist() == [[0.25, 0.25, 0.5], [0.5, 0, 0]]
    assert drop_rate(first, second).item() == pytest.approx(2 / 4)  # 0 and 1 of the first image
    assert drop_rate(second, first).item() == pytest.approx(2 / 4)
    nothing = torch.full_like(first, -1)
    assert drop_rate(nothing, first).item() == 0 and drop_rate(first, nothing).item() == 1


def test_more_cells_than_pixels_are_refused():
    with pytest.raises(ValueError, match="grid"):
        cell_shares(torch.zeros(1, 4, 4), (5, 4))
