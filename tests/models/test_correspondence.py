"""Which locations are matched: the authors' indices, permutations, and geometry."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from dense_cl.errors import DenseCLError
from dense_cl.models.correspondence import (
    Correspondence,
    DistanceThreshold,
    FeatureArgmax,
    GeometricNearest,
    KBestFeatures,
    KBestLocations,
    MutualNearest,
    RegionIds,
)
from dense_cl.models.correspondence.k_best import crop_centres
from dense_cl.models.features import ViewFeatures
from dense_cl.regions.regions import RegionBatch
from dense_cl.views.batch import ViewBatch
from dense_cl.views.geometry import ViewGeometry, cell_centres


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


def geometric(query_matrix, key_matrix, grid=(4, 4), provider=None):
    maps = torch.zeros(1, 1, 1, 1)
    sides = features(maps, [query_matrix]), features(maps, [key_matrix])
    return (provider or GeometricNearest())(*sides, grid, grid)


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
        in_source = centres @ torch.tensor(key_matrix, dtype=torch.float64).T
        on_key = ((in_source >= 0) & (in_source < 64)).all(-1)
        near = (offset.amin(1) < 16 / 5) & on_image & on_key[offset.argmin(1)]
        assert torch.equal(match.valid_BS[0], near)
        assert torch.equal(match.indices_BS[0][near], offset.argmin(1)[near])


GEOMETRIC = [
    GeometricNearest(),
    DistanceThreshold(),
    KBestLocations(3),
    KBestLocations(-1, ignore_flips=True),
    KBestLocations(3, any_distance=True),
]


@pytest.mark.parametrize("provider", GEOMETRIC, ids=lambda provider: type(provider).__name__)
def test_disjoint_views_have_no_valid_location(provider):
    far = [[1.0, 0, 500], [0, 1.0, 500]]
    match = geometric(IDENTITY, far, provider=provider)
    assert not match.valid_BS.any() and not match.matrix(16).any()
    assert match.indices_BS is None or match.indices_BS.min() >= 0


@pytest.mark.parametrize("provider", GEOMETRIC, ids=lambda provider: type(provider).__name__)
def test_padding_matches_nothing(provider):
    """Both views begin 16 px left of the source: their two left columns of cells are padding."""
    padded = [[1.0, 0, -16], [0, 1.0, 0]]
    match = geometric(padded, padded, provider=provider)
    assert not match.valid_BS.view(4, 4)[:, :2].any() and match.valid_BS.any()
    assert not match.matrix(16).view(4, 4, 4, 4)[..., :2].any()


@pytest.mark.parametrize("sides", ["query", "key", "both"])
@pytest.mark.parametrize("provider", GEOMETRIC, ids=lambda provider: type(provider).__name__)
def test_fill_matches_nothing(provider, sides):
    """As after a rotation of a crop: the upper left corner, of three cells, is not of the photo."""
    corner = torch.tensor([[[1.0, 1.0, -21.0]]], dtype=torch.float64)
    plain = view([IDENTITY])
    query, key = (
        ViewFeatures((), replace(plain, borders=corner) if sides in (side, "both") else plain)
        for side in ("query", "key")
    )
    pairs = provider(query, key, (4, 4), (4, 4)).matrix(16)[0]
    assert not pairs[[0, 1, 4]].any() if sides != "key" else not pairs[:, [0, 1, 4]].any()
    assert pairs.any()
    if sides == "both":
        assert not pairs[:, [0, 1, 4]].any()


def square_views(coordinates):
    """Views of the unit square, given as PixPro's code gives them: x1 > x2 is a mirrored one."""
    x1, y1, x2, y2 = torch.tensor(coordinates).T
    zero = torch.zeros_like(x1)
    matrix = torch.stack([x2 - x1, zero, x1, zero, y2 - y1, y1], dim=1).view(-1, 2, 3)
    return ViewBatch(torch.empty(0), matrix, torch.ones(len(matrix), 2), (1, 1))


@pytest.mark.parametrize("case", [1, 2])
def test_distance_threshold_golden(golden, case):
    data = golden(f"pixpro_regression_{case}")
    sides = [ViewFeatures((), square_views(data[f"coord_view{v}"])) for v in (1, 2)]
    grid = data["query1"].shape[2:]
    provider = DistanceThreshold(float(data["pos_ratio"]))
    match, back = provider(*sides, grid, grid), provider(*sides[::-1], grid, grid)
    expected = torch.tensor(data["expected_positive_mask_q1_k2"])
    assert torch.equal(match.weights_BST, expected)
    assert torch.equal(back.weights_BST, expected.mT)
    assert torch.equal(match.valid_BS, expected.any(dim=2))
    assert match.matrix(grid[0] * grid[1]).sum(dim=(1, 2)).tolist() == list(
        data["expected_num_positives"]
    )


@pytest.mark.parametrize("case", [1, 2])
def test_pixpro_coordinates_are_the_centres_of_our_corner_pixels(golden, case):
    """Their boxes go from the first to the last pixel's centre, in an image of W - 1 by H - 1."""
    data = golden(f"pixpro_coords_{case}")
    for v in (1, 2):
        rows = zip(
            data[f"crop_params_ijhwHW_view{v}"],
            data[f"flip_hv_view{v}"],
            data[f"expected_coord_view{v}"],
            strict=True,
        )
        for (top, left, height, width, source_h, source_w), flips, expected in rows:
            mirrored = [
                [-1, 0, width] if flips[0] else [1, 0, 0],
                [0, -1, height] if flips[1] else [0, 1, 0],
            ]
            box, size = (left, top, left + width, top + height), (int(height), int(width))
            crop = ViewGeometry.from_box(box, size, (int(source_h), int(source_w)))
            flip = ViewGeometry(torch.tensor(mirrored).double().numpy(), size, size)
            corners = crop.then(flip).to_source([[0.5, 0.5], [width - 0.5, height - 0.5]])
            mine = (corners - 0.5) / [source_w - 1, source_h - 1]
            torch.testing.assert_close(torch.tensor(mine).flatten(), torch.tensor(expected))


@pytest.mark.parametrize("cells", [7, 3])
def test_vicregl_location_grid_golden(golden, cells):
    """Ours honours flips; with ``ignore_flips`` it is the grid of the crop before its flip."""
    data = golden("vicregl_location_grid_1")
    expected = torch.tensor(data[f"expected_grid_{cells}x{cells}_yx"])
    flipped = torch.tensor(data["hflip"]).bool()
    matrices = [
        [[-w / 8, 0, x + w] if flip else [w / 8, 0, x], [0, h / 8, y]]
        for (y, x, h, w, _, _), flip in zip(data["crop_params_ijhwHW"], flipped, strict=True)
    ]
    crops = view(matrices, size=(8, 8))
    mine = cell_centres(crops, (cells, cells)).view_as(expected).flip(-1)
    torch.testing.assert_close(mine, expected)
    unflipped = torch.where(flipped[:, None, None, None], expected.flip(2), expected)
    mine = crop_centres(crops, (cells, cells)).view_as(expected).flip(-1)
    torch.testing.assert_close(mine, unflipped)
    assert flipped.any() and not flipped.all()


@pytest.mark.parametrize("case", [1, 2])
def test_k_best_golden(golden, case):
    data = golden(f"vicregl_matching_{case}")
    count = int(data["num_matches"])
    sides = []
    for name in ("input", "candidate"):
        places = torch.tensor(data[f"{name}_locations_yx"])
        grid = places.shape[1:3]
        maps = torch.tensor(data[f"{name}_maps"]).mT.unflatten(2, grid)
        sides.append((features(maps), grid, places.flip(-1).flatten(1, 2)))
    (query, query_grid, query_places), (key, key_grid, key_places) = sides
    by_location = KBestLocations(count, any_distance=True)
    by_location.locate = lambda seen, _: query_places if seen is query.view else key_places
    for name, provider in (("feature", KBestFeatures(count)), ("location", by_location)):
        match = provider(query, key, query_grid, key_grid)
        kept = match.valid_BS.nonzero()[:, 1].view(-1, count)
        assert torch.equal(kept, torch.tensor(data[f"expected_{name}_input_index"]))
        expected = torch.tensor(data[f"expected_{name}_candidate_index"])
        assert torch.equal(match.indices_BS.gather(1, kept), expected)


def test_ignoring_flips_mixes_up_the_columns_of_a_mirrored_view():
    mirrored = [[-1.0, 0, 32], [0, 1.0, 0]]
    right = geometric(IDENTITY, mirrored, provider=KBestLocations(-1))
    wrong = geometric(IDENTITY, mirrored, provider=KBestLocations(-1, ignore_flips=True))
    cells = torch.arange(16)
    assert torch.equal(right.indices_BS[0], cells.view(4, 4).flip(1).flatten())
    assert torch.equal(wrong.indices_BS[0], cells)


@pytest.mark.parametrize("ignore_flips", [False, True])
def test_a_place_that_the_key_view_does_not_show_is_matched_at_any_distance_only(ignore_flips):
    """The key view begins one and a quarter cells to the right, and is mirrored."""
    beyond = [[-1.0, 0, 42], [0, 1.0, 0]]
    options = {"ignore_flips": ignore_flips}
    near = geometric(IDENTITY, beyond, provider=KBestLocations(-1, **options))
    assert near.valid_BS.view(4, 4).tolist() == [[False, True, True, True]] * 4
    far = geometric(IDENTITY, beyond, provider=KBestLocations(-1, any_distance=True, **options))
    assert far.valid_BS.all()
    columns = [0, 0, 1, 2] if ignore_flips else [3, 3, 2, 1]
    assert (far.indices_BS.view(4, 4) % 4).tolist() == [columns] * 4
    assert torch.equal(near.indices_BS[near.valid_BS], far.indices_BS[near.valid_BS])


def test_k_best_keeps_the_closest_and_no_more_than_there_are():
    maps = torch.tensor([0.0, 10.0, 20.0, 30.0]).view(1, 1, 2, 2)
    moved = torch.tensor([3.0, 11.0, 22.0, 30.5]).view(1, 1, 2, 2)
    match = KBestFeatures(2)(features(maps), features(moved), (2, 2), (2, 2))
    assert match.indices_BS.tolist() == [[0, 1, 2, 3]]
    assert match.valid_BS.tolist() == [[False, True, False, True]]
    assert KBestFeatures(9)(features(maps), features(moved), (2, 2), (2, 2)).valid_BS.all()


def test_ties_between_locations_do_not_hang_on_rounding():
    """As other processors round: all cells have two partners as near, and all are as near."""
    half_a_cell = torch.tensor([[1.0, 0, 4], [0, 1, 0]], dtype=torch.float64)
    provider = KBestLocations(5, any_distance=True)
    first = geometric(IDENTITY, half_a_cell.tolist(), provider=provider)
    assert first.valid_BS.sum() == 5
    for seed in range(5):
        torch.manual_seed(seed)
        rounded = half_a_cell + 1e-12 * torch.randn(2, 3, dtype=torch.float64)
        again = geometric(IDENTITY, rounded.tolist(), provider=provider)
        assert torch.equal(again.valid_BS, first.valid_BS)
        assert torch.equal(again.indices_BS, first.indices_BS)


def seen_regions(label_map):
    labels = torch.tensor([label_map], dtype=torch.int16)
    matrix = torch.tensor([IDENTITY], dtype=torch.float64)
    source = torch.tensor([labels.shape[1:]])
    batch = ViewBatch(torch.empty(0), matrix, source, labels.shape[1:], RegionBatch(labels))
    return ViewFeatures((), batch)


def test_region_ids_match_the_cells_of_a_region():
    """Cells of two pixels, by their majority: 5, none, 2, and in the other view 2, 7, 5, 5."""
    query = seen_regions([[5, 5, -1, -1, 2, 2]] * 2)
    key = seen_regions([[2, 2, 7, 7, 5, 5, 5, 5], [2, 2, 7, -1, 5, 5, 5, 2]])
    match = RegionIds()(query, key, (1, 3), (1, 4))
    assert match.weights_BST.int().tolist() == [[[0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]]]
    assert match.valid_BS.tolist() == [[True, False, True]]
    elsewhere = seen_regions([[9] * 8] * 2)
    assert not RegionIds()(query, elsewhere, (1, 3), (1, 4)).valid_BS.any()


def test_a_single_partner_is_a_matrix_with_one_pair_a_row():
    match = Correspondence(torch.tensor([[2, 0]]), valid_BS=torch.tensor([[True, False]]))
    assert match.matrix(3).tolist() == [[[0, 0, 1], [0, 0, 0]]]


@pytest.mark.parametrize("make", [lambda: DistanceThreshold(0), lambda: KBestFeatures(0)])
def test_providers_that_would_match_nothing_are_refused(make):
    with pytest.raises(DenseCLError, match="must be above 0|at least 1"):
        make()
