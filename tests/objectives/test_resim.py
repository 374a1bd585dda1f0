"""ReSim: windows by exact geometry, the loss against slow arithmetic, symmetry, no overlap."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.errors import DenseCLError
from dense_cl.models.box_features import pool_boxes, with_image
from dense_cl.models.features import FeatureBundle, ViewFeatures
from dense_cl.objectives import ReSim
from dense_cl.objectives.region.windows import map_windows, window_grid
from dense_cl.views.batch import ViewBatch
from dense_cl.views.geometry import geometries, inside, to_source

SOURCE = (300, 400)
# Linear parts of what keeps boxes boxes: flips and quarter turns.
FRAMES = [((1, 0), (0, 1)), ((-1, 0), (0, 1)), ((1, 0), (0, -1)), ((0, 1), (-1, 0))]


def view(matrices, size=(64, 64)) -> ViewBatch:
    """Views with these maps to a source of 300 by 400 pixels."""
    matrix = torch.stack(matrices)
    sizes = torch.tensor([SOURCE]).repeat(len(matrix), 1)
    return ViewBatch(torch.zeros(len(matrix), 3, *size), matrix, sizes, size)


def crop(x, y, scale_x, scale_y, frame=FRAMES[0], size=(64, 64)) -> torch.Tensor:
    """Map of a flipped or turned crop whose middle is at (x, y)."""
    linear = torch.diag(torch.tensor([scale_x, scale_y], dtype=torch.float64))
    linear = linear @ torch.tensor(frame, dtype=torch.float64)
    middle = torch.tensor([size[1] / 2, size[0] / 2], dtype=torch.float64)
    start = torch.tensor([x, y], dtype=torch.float64) - linear @ middle
    return torch.cat([linear, start[:, None]], dim=1)


crops = st.builds(
    crop,
    st.floats(100, 300),
    st.floats(100, 200),
    st.floats(0.5, 2.5),
    st.floats(0.5, 2.5),
    st.sampled_from(FRAMES),
)


def test_windows_are_the_papers_and_lie_around_the_centre():
    on_c4, on_c3 = window_grid((224, 224), 48, 32), window_grid((224, 224), 32, 24)
    assert len(on_c4) == 6**2 and len(on_c3) == 9**2
    assert on_c4[0].tolist() == [8, 8, 56, 56] and on_c4[1].tolist() == [40, 8, 88, 56]
    assert on_c3[-1].tolist() == [192, 192, 224, 224]
    for windows in (on_c4, on_c3):
        mirrored = 224 - windows[:, [2, 1, 0, 3]]
        mirrored[:, [1, 3]] = windows[:, [1, 3]]
        assert sorted(mirrored.tolist()) == sorted(windows.tolist())
    assert window_grid((64, 40), 40, 16).tolist() == [[0, 4, 40, 44], [0, 20, 40, 60]]
    with pytest.raises(DenseCLError, match="windows of 48 pixels do not fit views"):
        window_grid((32, 224), 48, 32)


@settings(max_examples=60)
@given(crops, crops)
def test_mapped_windows_are_those_of_the_geometry(first, second):
    query, key = view([first]), view([second])
    windows = window_grid((64, 64), 16, 12)
    boxes, valid = map_windows(query, key, windows)
    one, other = geometries(query)[0], geometries(key)[0]
    for window, box, counts in zip(windows.numpy(), boxes[0], valid[0], strict=True):
        x1, y1, x2, y2 = window
        corners = one.map_points_to(other, [[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        hull = torch.tensor([*corners.min(axis=0), *corners.max(axis=0)])
        torch.testing.assert_close(box, hull)
        # A window may end at the border, where `inside` is no longer true of its corners.
        middle, source = (64 / 2, 64 / 2), one.to_source([[x1, y1], [x2, y2]])
        shrunk = corners + 1e-5 * np.sign(middle - corners)
        nearer = source + 1e-5 * np.sign(np.array(SOURCE[::-1]) / 2 - source)
        both = inside(shrunk, (64, 64)).all() and inside(nearer, SOURCE).all()
        assert bool(counts) == bool(both)


@settings(max_examples=40)
@given(crops, crops, st.floats(-1, 1), st.floats(-1, 1))
def test_a_window_pools_the_same_from_both_views(first, second, slope_x, slope_y):
    """Maps that are linear in the position on the source have the same mean on both sides."""

    def linear_map(one: ViewBatch) -> torch.Tensor:
        place = (torch.arange(32, dtype=torch.float64) + 0.5) * 2
        grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1)
        source = to_source(one, grid.view(-1, 2)) @ torch.tensor([slope_x, slope_y]).double()
        return source.view(1, 1, 32, 32)

    query, key = view([first]), view([second])
    windows = window_grid((64, 64), 16, 12)[None]
    boxes, valid = map_windows(query, key, windows[0])
    # Half a cell from the border, where pooling repeats the last value.
    valid &= ((boxes > 1) & (boxes < 63)).all(dim=-1) & ((windows > 1) & (windows < 63)).all(-1)
    one, other = (
        pool_boxes(linear_map(v), with_image(b), (64, 64), 1).view(1, -1)[valid]
        for v, b in ((query, windows), (key, boxes))
    )
    torch.testing.assert_close(one, other)


def test_views_that_are_turned_or_sheared_are_refused():
    angle = torch.tensor(0.1, dtype=torch.float64)
    turned = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    for linear in (turned, torch.tensor([[1.0, 0.2], [0, 1]]).double()):
        matrix = torch.cat([linear, torch.full((2, 1), 100.0).double()], dim=1)
        straight = view([crop(200, 150, 1, 1), crop(200, 150, 1, 1)])
        other = view([crop(200, 150, 1, 1), matrix])
        with pytest.raises(DenseCLError, match="turned or sheared against each other"):
            map_windows(straight, other, window_grid((64, 64), 16, 12))
        same = view([matrix])
        assert map_windows(same, same, window_grid((64, 64), 16, 12))[1].any()


def test_windows_on_padding_do_not_count():
    beyond = view([crop(400, 150, 1, 1)])  # its right half lies beyond the source
    _, valid = map_windows(beyond, beyond, window_grid((64, 64), 32, 32))
    assert valid.tolist() == [[True, False, True, False]]


def test_windows_on_fill_do_not_count():
    """A line that is cut off of a corner of either view, as after a turn and a turn back."""
    whole = view([crop(200, 150, 1, 1)])
    cut = replace(whole, borders=torch.tensor([[[-1, 1, 100]]]).double())
    for views in ((whole, cut), (cut, whole), (cut, cut)):
        _, valid = map_windows(*views, window_grid((64, 64), 32, 32))
        assert valid.tolist() == [[True, False, True, True]]


def test_all_corners_of_a_window_lie_on_the_source():
    """Views turned alike by 45 degrees: only the right corner lies beyond."""
    turned = view([crop(370, 150, 0.5**0.5, 0.5**0.5, ((1, -1), (1, 1)))])
    for side, expected in ((64, [[False]]), (32, [[True, False, True, True]])):
        assert map_windows(turned, turned, window_grid((64, 64), side, 32))[1].tolist() == expected


def objective(**options) -> ReSim:
    torch.manual_seed(0)
    settings = {"stages": (-2, -3), "windows": (32, 16), "strides": (16, 16), "channels": 32}
    return ReSim((8, 12, 16), **{**settings, **options}).double()


def features(query: ViewBatch, key: ViewBatch, seed=0) -> FeatureBundle:
    """Random maps with cells of 4, 8 and 16 pixels."""
    generator = torch.Generator().manual_seed(seed)
    batch = len(query.matrix)
    online, target = (
        tuple(
            torch.randn(batch, c, 64 // s, 64 // s, generator=generator, dtype=torch.float64)
            for c, s in ((8, 4), (12, 8), (16, 16))
        )
        for _ in range(2)
    )
    return FeatureBundle({0: ViewFeatures(online, query)}, {1: ViewFeatures(target, key)})


WHOLE = crop(200, 150, 2, 2)


@pytest.mark.parametrize("top", [-1, -2])
def test_loss_is_that_of_slow_arithmetic(top):
    """Windows of whole cells in equal views; every negative and every softmax one by one."""
    method = objective(stages=(-2,), windows=(32,), strides=(16,), gather=(True,), top=top)
    both = view([WHOLE, WHOLE])
    bundle = features(both, both)
    inputs = slice(-2, top + 1 or None)
    query = method.neck(bundle.online[0].stages[inputs])[0]
    key = method.target_neck(bundle.target[1].stages[inputs])[0]
    assert query.shape == (2, 32, 8, 8)
    negatives = [
        key[b, :, r : r + 3, c : c + 3].mean(dim=(1, 2))
        for b in range(2) for r in range(6) for c in range(6)
    ]  # fmt: skip
    losses = []
    for b in range(2):
        for r in (0, 2, 4):
            for c in (0, 2, 4):  # 16 pixels are two cells, 32 pixels four
                q, k = (m[b, :, r : r + 4, c : c + 4].mean(dim=(1, 2)) for m in (query, key))
                logits = [F.cosine_similarity(q, other, dim=0) / 0.2 for other in [k, *negatives]]
                losses.append(-torch.stack(logits).log_softmax(dim=0)[0])
    output = method(bundle)
    torch.testing.assert_close(output.loss, torch.stack(losses).mean(), rtol=1e-8, atol=0)
    assert output.diagnostics["matched"] == 1


def test_levels_add_up():
    both = view([WHOLE, crop(180, 160, 1.5, 1.5)])
    bundle = features(both, view([crop(190, 150, 1.5, 2), WHOLE]))
    together = objective()
    alone = []
    for stage, window in ((-2, 32), (-3, 16)):
        one = objective(stages=(stage,), windows=(window,), strides=(16,), gather=(True,))
        # A pyramid has the same convolutions but those of the levels it does not reach.
        skipped = 3 - one.num_stages
        for ours, theirs in (
            (one.neck, together.neck),
            (one.target_neck.network, together.target_neck.network),
        ):
            for name in ("lateral_convs", "fpn_convs"):
                for n, conv in enumerate(getattr(ours, name)):
                    conv.load_state_dict(getattr(theirs, name)[n + skipped].state_dict())
        alone.append(one(bundle).loss)
    torch.testing.assert_close(together(bundle).loss, sum(alone))
    assert not torch.isclose(*alone)


def symmetric(method: ReSim) -> ReSim:
    """Make the pyramid commute with flips, so that only geometry is tested."""
    for module in (method.neck, method.target_neck.network):
        for conv in module.fpn_convs:
            weight = conv.conv.weight.data
            weight.copy_((weight + weight.flip(3)) / 2)
    return method


def flipped(bundle: FeatureBundle, side: str) -> FeatureBundle:
    (number, one), *_ = getattr(bundle, side).items()
    mirror = torch.tensor([[-1, 0, 64], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    mirrored = replace(one.view, matrix=one.view.matrix @ mirror)
    stages = tuple(stage.flip(3) for stage in one.stages)
    return replace(bundle, **{side: {number: ViewFeatures(stages, mirrored)}})


@pytest.mark.parametrize("sides", [("online",), ("target",), ("online", "target")])
def test_flips_change_nothing_shared_or_not(sides):
    """A flipped view with flipped maps shows the same windows."""
    method = symmetric(objective())
    bundle = features(view([WHOLE, crop(200, 150, 1.5, 2)]), view([crop(190, 150, 2, 2), WHOLE]))
    expected = method(bundle)
    for side in sides:
        bundle = flipped(bundle, side)
    output = method(bundle)
    torch.testing.assert_close(output.loss, expected.loss)
    assert output.diagnostics["matched"] == expected.diagnostics["matched"] > 0


def test_views_without_overlap_contribute_nothing():
    method = objective()
    left, right = crop(50, 150, 1, 1), crop(350, 150, 1, 1)
    bundle = features(view([left, left]), view([right, right]))
    output = method(bundle)
    output.loss.backward()
    assert output.loss == 0 and output.diagnostics["matched"] == 0
    assert all(p.grad.eq(0).all() for p in method.neck.parameters())
    # Beside an image that overlaps, one that does not only lends its cells as negatives.
    mixed = features(view([left, WHOLE]), view([right, WHOLE]))
    mixed.online[0].stages[1][0] += 100
    query = method(mixed)
    mixed.online[0].stages[1][0] -= 100
    torch.testing.assert_close(query.loss, method(mixed).loss)
    assert 0 < query.diagnostics["matched"] == 0.5


def test_gradients():
    method = objective(channels=4, windows=(32, 24))
    bundle = features(view([WHOLE]), view([crop(195, 152, 1.9, 2, FRAMES[1])]))
    maps = [torch.randn_like(m[:, :, :, :]).requires_grad_() for m in bundle.online[0].stages]

    def loss(*stages):
        return method(replace(bundle, online={0: ViewFeatures(stages, bundle.online[0].view)})).loss

    assert torch.autograd.gradcheck(loss, maps, fast_mode=True)
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith("neck.") for name in trained)


def test_keys_come_from_the_target_pyramid():
    method = objective()
    bundle = features(view([WHOLE]), view([WHOLE]))
    before = method(bundle).loss
    with torch.no_grad():
        for parameter in method.target_neck.parameters():
            parameter.add_(torch.randn_like(parameter))
    assert not torch.isclose(method(bundle).loss, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": (-4,), "windows": (8,), "strides": (8,), "gather": (True,)}, "from -1"),
        ({"top": -3}, "begin the pyramid at the deepest"),
        ({"stages": (0, -2)}, "from -1"),
        ({"windows": (48,)}, "one entry for each level"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(DenseCLError, match=message):
        objective(**options)


def test_maps_too_small_for_a_negative_are_refused():
    method = objective(stages=(-1,), windows=(64,), strides=(64,), gather=(True,))
    bundle = features(view([WHOLE]), view([WHOLE]))
    small = tuple(stage[:, :, :2, :2] for stage in bundle.target[1].stages)
    bundle = replace(bundle, target={1: ViewFeatures(small, bundle.target[1].view)})
    with pytest.raises(DenseCLError, match=r"map of \(2, 2\) cells is too small"):
        method(bundle)
