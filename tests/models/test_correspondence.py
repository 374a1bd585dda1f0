"""Which locations are matched: the authors' indices, permutations, and geometry."""

import pytest
import torch
import torch.nn.functional as F

from dense_cl.models.correspondence import FeatureArgmax, GeometricNearest, MutualNearest
from dense_cl.models.features import ViewFeatures
from dense_cl.views.batch import ViewBatch


def view(matrices, source=(64, 64), size=(32, 32)) -> ViewBatch:
    matrix = torch.tensor(matrices, dtype=torch.float64)
    sizes = torch.tensor([source]).repeat(len(matrix), 1)
    return ViewBatch(torch.empty(len(matrix), 0), matrix, sizes, size)


IDENTITY = [[1.0, 0, 0], [0, 1.0, 0]]


def features(maps: torch.Tensor, matrices=None) -> ViewFeatures:
    return ViewFeatures((maps,), view(matrices or [IDENTITY] * len(maps)))


@pytest.mark.parametrize("case", [1, 2])
def test_feature_argmax_golden(golden, case):
    data = golden(f"densecl_loss_{case}")
    query, key = (features(torch.tensor(data[f"backbone_{name}"])) for name in ("query", "key"))
    grid = query.last.shape[2:]
    match = FeatureArgmax()(query, key, grid, grid)
    expected = torch.tensor(data["expected_correspondence_index"])
    assert torch.equal(match.indices_BS, expected) and match.valid_BS is None


def test_feature_argmax_finds_a_permutation_of_scaled_features():
    maps = torch.randn(3, 8, 4, 4)
    order = torch.randperm(16)
    moved = (3 * maps.flatten(2)[:, :, order]).view(3, 8, 4, 4)
    match = MutualNearest()(features(moved), features(maps), (4, 4), (4, 4))
    assert (match.indices_BS == order).all() and match.valid_BS.all()


def test_feature_argmax_under_autocast_is_that_of_float32():
    """Near-equal candidates, as behind a ReLU; bfloat16 similarities would tie them."""
    common = torch.rand(2, 16, 1, 1) + 1
    maps = [features(common + 0.05 * torch.rand(2, 16, 5, 5)) for _ in range(2)]
    expected = FeatureArgmax()(*maps, (5, 5), (5, 5)).indices_BS
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mine = FeatureArgmax()(*maps, (5, 5), (5, 5)).indices_BS
    assert torch.equal(mine, expected) and len(expected.unique()) > 3


def test_matching_is_on_the_grid_of_the_head():
    query, key = torch.randn(2, 8, 6, 6), torch.randn(2, 8, 6, 6)
    pooled = [features(F.adaptive_avg_pool2d(x, 3)) for x in (query, key)]
    mine = FeatureArgmax()(features(query), features(key), (3, 3), (3, 3))
    assert torch.equal(mine.indices_BS, FeatureArgmax()(*pooled, (3, 3), (3, 3)).indices_BS)


def test_mutual_nearest_drops_what_is_not_chosen_back():
    query = torch.tensor([[1.0, 0.0], [0.9, 0.1]]).T.view(1, 2, 1, 2)
    key = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).T.view(1, 2, 1, 2)
    match = MutualNearest()(features(query), features(key), (1, 2), (1, 2))
    assert match.indices_BS.tolist() == [[0, 0]]
    assert match.valid_BS.tolist() == [[True, False]]


def geometric(query_matrix, key_matrix, grid=(4, 4)):
    maps = torch.zeros(1, 1, 1, 1)
    sides = features(maps, [query_matrix]), features(maps, [key_matrix])
    return GeometricNearest()(*sides, grid, grid)


def test_geometric_flip_reverses_rows():
    flipped = [[-1.0, 0, 32], [0, 1.0, 0]]
    match = geometric(IDENTITY, flipped)
    expected = torch.arange(16).view(4, 4).flip(1).flatten()
    assert torch.equal(match.indices_BS[0], expected) and match.valid_BS.all()


def test_geometric_shift_by_one_cell_leaves_the_last_column_without_a_partner():
    shifted = [[1.0, 0, -8], [0, 1.0, 0]]  # the key view starts one cell to the left
    match = geometric(IDENTITY, shifted)
    valid = match.valid_BS.view(4, 4)
    assert valid[:, :3].all() and not valid[:, 3].any()
    assert match.indices_BS.view(4, 4)[:, :3].tolist() == [
        [4 * r + c + 1 for c in range(3)] for r in range(4)
    ]


def test_geometric_agrees_with_a_search_over_centres():
    """Random crops and flips: the covering cell has the nearest centre, within half a cell."""
    torch.manual_seed(1)
    for _ in range(20):
        scale, shift = torch.rand(2, 2) * 1.5 + 0.2, torch.rand(2, 2) * 20
        sign = torch.randint(0, 2, (2, 2)) * 2 - 1
        query_matrix, key_matrix = (
            [[float(k * s[0]), 0, float(t[0])], [0, float(m * s[1]), float(t[1])]]
            for (k, m), s, t in zip(sign, scale, shift, strict=True)
        )
        match = geometric(query_matrix, key_matrix, grid=(5, 5))
        cells = (torch.arange(5, dtype=torch.float64) + 0.5) * 32 / 5
        y, x = torch.meshgrid(cells, cells, indexing="ij")
        centres = torch.stack([x, y, torch.ones_like(x)], -1).view(-1, 3)
        in_source = centres @ torch.tensor(query_matrix, dtype=torch.float64).T
        linear = torch.tensor(key_matrix, dtype=torch.float64)
        in_key = (in_source - linear[:, 2]) @ torch.linalg.inv(linear[:, :2]).T
        offset = (in_key[:, None] - centres[None, :, :2]).abs().amax(-1)
        on_image = ((in_source >= 0) & (in_source < 64)).all(-1)
        near = (offset.amin(1) < 16 / 5) & on_image
        assert torch.equal(match.valid_BS[0], near)
        assert torch.equal(match.indices_BS[0][near], offset.argmin(1)[near])


def test_geometric_disjoint_views_have_no_valid_location():
    far = [[1.0, 0, 500], [0, 1.0, 500]]
    match = geometric(IDENTITY, far)
    assert not match.valid_BS.any() and match.indices_BS.min() >= 0
