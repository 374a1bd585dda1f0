"""LOST and TokenCut on grids of features: reference vectors, planted objects, degenerate maps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import eigh

from dense_cl.regions.saliency.found_object import FoundObject, standardised
from dense_cl.regions.saliency.lost import degrees, lost, voters
from dense_cl.regions.saliency.token_cut import second_eigenvector, token_cut

METHODS = [lambda f: lost(f, 12), token_cut]


class Reference:
    """One file of reference vectors, its features laid out on their grid."""

    def __init__(self, values: dict[str, np.ndarray]) -> None:
        self.values = values
        self.grid = int(values["grid_height"]), int(values["grid_width"])
        self.features = values["patch_features"].reshape(*self.grid, -1)

    def number(self, name: str) -> float:
        return self.values[name].item()

    def expect(self, found: FoundObject, method: str) -> None:
        assert np.ravel_multi_index(found.seed, self.grid) == self.number(f"expected_{method}_seed")
        patch = self.number("patch_size")
        box = found.box((self.grid[0] * patch, self.grid[1] * patch))
        width, height = self.number("image_width"), self.number("image_height")
        clipped = np.minimum(box, [width, height, width, height])  # the grid covers padding too
        np.testing.assert_array_equal(clipped, self.values[f"expected_{method}_box_x1y1x2y2"])


@pytest.fixture(params=["1", "2"])
def reference(request: Any, golden: Callable[[str], dict[str, np.ndarray]]) -> Reference:
    return Reference(golden(f"lost_tokencut_{request.param}"))


def test_lost_agrees_with_the_authors(reference: Reference) -> None:
    flat = reference.values["patch_features"]
    similarity = flat @ flat.T
    degree = degrees(similarity)
    np.testing.assert_array_equal(degree, reference.values["expected_lost_degree"])
    k = int(reference.number("lost_k_patches"))
    chosen = voters(similarity, np.argsort(degree, kind="stable")[:k])
    expected = np.flatnonzero(reference.values["expected_lost_similar_patches_mask"])
    np.testing.assert_array_equal(np.sort(chosen), expected)
    reference.expect(lost(reference.features, k), "lost")


def test_token_cut_agrees_with_the_authors(reference: Reference) -> None:
    tau, eps = reference.number("tokencut_tau"), reference.number("tokencut_eps")
    vector = second_eigenvector(reference.features, tau, eps)
    assert vector is not None
    expected = reference.values["expected_tokencut_eigenvector"].ravel()
    scale = vector @ expected / (expected @ expected)
    np.testing.assert_allclose(vector, scale * expected, rtol=1e-6)
    found = token_cut(reference.features, tau, eps)
    np.testing.assert_array_equal(found.mask, reference.values["expected_tokencut_mask"])
    reference.expect(found, "tokencut")


def planted(
    grid: tuple[int, int], box: tuple[int, int, int, int], seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return features of a background and of one object opposed to it, and the object's mask."""
    random = np.random.default_rng(seed)
    x1, y1, x2, y2 = box
    mask = np.zeros(grid, dtype=bool)
    mask[y1:y2, x1:x2] = True
    direction = random.standard_normal(8)
    features = np.where(mask[..., None], -direction, direction)
    return features + 0.05 * random.standard_normal((*grid, 8)), mask


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25)
@given(st.data())
def test_a_planted_object_is_found(method: Callable[..., FoundObject], data: st.DataObject) -> None:
    grid = data.draw(st.tuples(st.integers(8, 12), st.integers(8, 12)))
    x1, y1 = data.draw(st.integers(0, grid[1] - 4)), data.draw(st.integers(0, grid[0] - 4))
    width, height = data.draw(st.integers(2, 4)), data.draw(st.integers(2, 4))
    features, mask = planted(grid, (x1, y1, x1 + width, y1 + height), data.draw(st.integers(0, 9)))
    found = method(features)
    np.testing.assert_array_equal(found.mask, mask)
    assert found.mask[found.seed]
    box = found.box((10 * grid[0], 20 * grid[1]))
    np.testing.assert_allclose(box, [20 * x1, 10 * y1, 20 * (x1 + width), 10 * (y1 + height)])


@pytest.mark.parametrize("method", METHODS)
def test_of_two_objects_one_is_returned(method: Callable[..., FoundObject]) -> None:
    features, mask = planted((10, 12), (1, 1, 4, 4))
    features[6:8, 8:10] = features[1, 1]
    found = method(features)
    one, other = mask, np.zeros_like(mask)
    other[6:8, 8:10] = True
    assert any(np.array_equal(found.mask, part) for part in (one, other))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_map_holds_no_object(method: Callable[..., FoundObject], value: float) -> None:
    found = method(standardised(np.full((5, 6, 4), value)))
    assert not found.mask.any()
    np.testing.assert_array_equal(found.box((50, 60)), np.zeros(4))


@pytest.mark.parametrize("method", METHODS)
def test_rotated_and_scaled_features_give_the_same_object(
    method: Callable[..., FoundObject],
) -> None:
    random = np.random.default_rng(3)
    features = random.standard_normal((7, 9, 6))
    rotation, _ = np.linalg.qr(random.standard_normal((6, 6)))
    np.testing.assert_array_equal(method(features).mask, method(2.5 * features @ rotation).mask)


def test_the_eigenvector_solves_the_generalised_problem() -> None:
    features = np.random.default_rng(4).standard_normal((6, 7, 5))
    vector = second_eigenvector(features, tau=0.1, eps=1e-5)
    assert vector is not None
    flat = features.reshape(42, 5)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    weights = np.where(flat @ flat.T > 0.1, 1.0, 1e-5)
    degree = np.diag(weights.sum(axis=1))
    _, vectors = eigh(degree - weights, degree)
    expected = vectors[:, 1]
    np.testing.assert_allclose(vector, np.sign(vector @ expected) * expected, atol=1e-10)


def test_standardised_is_the_layer_norm_of_the_whole_map() -> None:
    import torch

    features = np.random.default_rng(5).random((4, 5, 3))
    flat = torch.from_numpy(features).reshape(1, 20, 3)
    expected = torch.nn.LayerNorm([20, 3]).double()(flat).detach().numpy()
    np.testing.assert_allclose(standardised(features), expected.reshape(4, 5, 3), rtol=1e-12)
