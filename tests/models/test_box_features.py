"""Pooling by closed forms and symmetry; pyramid and box head against MMDetection's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.errors import DenseCLError
from dense_cl.models.box_features import BoxHead, PyramidPooling, pool_boxes, with_image
from dense_cl.models.pyramid import FeaturePyramid

VIEW, GRID = (60, 90), (20, 18)  # 3 pixels a cell down, 5 across


def ramp(slope_x: float, slope_y: float, offset: float) -> torch.Tensor:
    """A map, (1, 1, 20, 18), that is linear in the pixel position of its cells' centres."""
    y = (torch.arange(GRID[0], dtype=torch.float64) + 0.5) * VIEW[0] / GRID[0]
    x = (torch.arange(GRID[1], dtype=torch.float64) + 0.5) * VIEW[1] / GRID[1]
    return (slope_x * x + slope_y * y[:, None] + offset)[None, None]


coordinate = st.tuples(st.floats(0.06, 0.9), st.floats(0.06, 0.9))


@settings(max_examples=30)
@given(coordinate, coordinate, st.floats(-2, 2), st.floats(-2, 2), st.integers(1, 7))
def test_mean_of_a_linear_ramp_is_its_value_at_the_centre(xs, ys, slope_x, slope_y, side):
    """Exact for any box that keeps half a cell from the border, and in every cell of its grid."""
    (x1, x2), (y1, y2) = ((min(pair), max(pair) + 0.03) for pair in (xs, ys))
    box = torch.tensor([0, x1 * 90, y1 * 60, x2 * 90, y2 * 60], dtype=torch.float64)
    pooled = pool_boxes(ramp(slope_x, slope_y, 1.0), box[None], VIEW, side)[0, 0]
    step = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    x = box[1] + step * (box[3] - box[1])
    y = box[2] + step * (box[4] - box[2])
    torch.testing.assert_close(pooled, slope_x * x + slope_y * y[:, None] + 1.0)


def test_whole_cells_are_averaged():
    """A box of three by two cells, side 1, is their plain mean: what avg_pool2d gives."""
    grid = torch.randn(2, 4, *GRID, dtype=torch.float64)
    boxes = torch.tensor([[1, 10.0, 9, 25, 15]], dtype=torch.float64)
    expected = grid[1, :, 3:5, 2:5].mean(dim=(1, 2))
    torch.testing.assert_close(pool_boxes(grid, boxes, VIEW, 1).flatten(), expected)


def test_a_mirrored_box_of_a_mirrored_map_is_the_mirrored_grid():
    grid = torch.randn(1, 3, *GRID, dtype=torch.float64)
    box = torch.tensor([[0, 11.0, 7, 52, 49]], dtype=torch.float64)
    mirrored = torch.tensor([[0, 90 - 52.0, 7, 90 - 11, 49]], dtype=torch.float64)
    expected = pool_boxes(grid, box, VIEW, 7).flip(3)
    torch.testing.assert_close(pool_boxes(grid.flip(3), mirrored, VIEW, 7), expected)


def test_pooling_has_the_gradient_of_its_values():
    grid = torch.randn(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0, 3.0, 4, 40, 33]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: pool_boxes(m, boxes, (40, 48), 2), grid)


def test_half_precision_maps_are_pooled_in_float32():
    grid = torch.randn(1, 2, *GRID).bfloat16()
    boxes = torch.tensor([[0, 10.0, 9, 25, 15]])
    pooled = pool_boxes(grid, boxes, VIEW, 2)
    assert pooled.dtype == torch.float32
    assert torch.equal(pooled, pool_boxes(grid.float(), boxes, VIEW, 2))


def test_boxes_go_to_the_level_of_their_size():
    """Constant levels say from which one a box came; order and images stay as given."""
    levels = [torch.full((2, 1, 96 // s, 96 // s), float(s)) for s in (4, 8, 16, 32)]
    sides = torch.tensor([[90.0, 20, 41, 41.5], [20.5, 82, 10, 83]])
    boxes = torch.stack([torch.zeros_like(sides)] * 2 + [sides] * 2, dim=-1)
    levels[0][1] = -4.0
    pooled = PyramidPooling((20, 41, 82), 2)(levels, boxes, (96, 96))
    assert pooled.shape == (8, 1, 2, 2)
    expected = [32.0, 4, 8, 16, 8, 16, -4, 32]
    assert pooled.mean(dim=(1, 2, 3)).tolist() == expected
    with pytest.raises(DenseCLError, match="must grow"):
        PyramidPooling((96, 48), 2)


def test_levels_without_a_box_have_gradients_of_zero():
    levels = [torch.randn(1, 2, n, n, requires_grad=True) for n in (8, 4)]
    boxes = torch.tensor([[[1.0, 1, 9, 9]]])
    PyramidPooling((48,), 3)(levels, boxes, (32, 32)).sum().backward()
    assert levels[0].grad.abs().sum() > 0 and levels[1].grad.eq(0).all()


def test_boxes_are_numbered_by_image():
    numbered = with_image(torch.arange(24.0).view(3, 2, 4))
    assert numbered[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(numbered[:, 1:], torch.arange(24.0).view(6, 4))


@pytest.mark.parametrize("norm", ["BN", "SyncBN", "GN", None])
@pytest.mark.parametrize("convs", [0, 2])
def test_pyramid_and_box_head_are_mmdetections(norm, convs):
    """State dicts fit both ways, and the same weights give the same numbers."""
    from dense_cl.transfer.mmdet_setup import import_mmdet

    import_mmdet()
    from mmdet.models import FPN, ConvFCBBoxHead
    from mmengine.registry import DefaultScope

    # SyncBN of torch does not run here; its parameters are those of BN.
    kind = {"BN": "BN", "SyncBN": "BN", "GN": "GN"}.get(norm)
    cfg = kind and dict(type=kind, **({"num_groups": 32} if kind == "GN" else {}))
    theirs = FPN([8, 12, 16, 24], 32, num_outs=5, norm_cfg=cfg)
    ours = FeaturePyramid([8, 12, 16, 24], 32, norm)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    maps = [torch.randn(2, c, n, n) for c, n in zip((8, 12, 16, 24), (28, 14, 7, 4), strict=True)]
    for mine, other in zip(ours(maps), theirs(maps)[:4], strict=True):
        torch.testing.assert_close(mine, other)

    with DefaultScope.overwrite_default_scope("mmdet"):  # where its bare names are looked up
        head = ConvFCBBoxHead(
            num_shared_convs=convs, num_shared_fcs=2, in_channels=32, conv_out_channels=32,
            fc_out_channels=20, roi_feat_size=3, num_classes=4, norm_cfg=cfg,
        )  # fmt: skip
    box_head = BoxHead(32, 3, convs, 2, 20, norm)
    head.load_state_dict(head.state_dict() | box_head.state_dict(), strict=True)
    assert {k for k in head.state_dict() if k.startswith("shared_")} == set(box_head.state_dict())
    pooled = torch.randn(5, 32, 3, 3)
    scores = head.fc_cls(box_head(pooled))
    torch.testing.assert_close(scores, head(pooled)[0])


def test_a_pyramid_may_return_its_finest_levels_only():
    short = FeaturePyramid([8, 12, 16], 32, num_outputs=2)
    whole = FeaturePyramid([8, 12, 16], 32)
    whole.load_state_dict(whole.state_dict() | short.state_dict())
    maps = [torch.randn(1, c, n, n) for c, n in zip((8, 12, 16), (12, 6, 3), strict=True)]
    assert [tuple(level.shape) for level in short(maps)] == [(1, 32, 12, 12), (1, 32, 6, 6)]
    assert all(map(torch.equal, short(maps), whole(maps)))
    with pytest.raises(DenseCLError, match="no 4 levels"):
        FeaturePyramid([8, 12, 16], 32, num_outputs=4)
    with pytest.raises(DenseCLError, match="at least one linear layer"):
        BoxHead(8, 3, 1, 0, 8, None)
