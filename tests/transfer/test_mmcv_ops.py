"""The fallback against closed forms, finite differences and definitions; no reference files."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from dense_cl.transfer.mmcv_ops import ensure

ensure()
from mmcv import ops


def soft_nms_by_swapping(boxes, scores, iou_threshold, sigma, min_score, method, offset):
    """Soft-NMS one pair at a time, on lists, in the order of mmcv's CPU kernel."""
    rows = [[*box, score, i] for i, (box, score) in enumerate(zip(boxes, scores, strict=True))]
    taken = 0
    while taken < len(rows):
        best = max(range(taken, len(rows)), key=lambda j: rows[j][4])  # the first of equals
        rows[taken], rows[best] = rows[best], rows[taken]
        x1, y1, x2, y2 = rows[taken][:4]
        j = taken + 1
        while j < len(rows):
            a1, b1, a2, b2 = rows[j][:4]
            width = max(np.float32(0), min(x2, a2) - max(x1, a1) + offset)
            height = max(np.float32(0), min(y2, b2) - max(y1, b1) + offset)
            areas = (x2 - x1 + offset) * (y2 - y1 + offset), (a2 - a1 + offset) * (b2 - b1 + offset)
            union = areas[0] + areas[1] - width * height
            iou = width * height / union if union else np.float32(0)
            if method == "gaussian":
                rows[j][4] *= np.exp(-(iou * iou) / np.float32(sigma))
            elif iou >= np.float32(iou_threshold):
                rows[j][4] *= (1 - iou) if method == "linear" else 0
            if rows[j][4] < np.float32(min_score):
                rows[j] = rows[-1]
                rows.pop()
            else:
                j += 1
        taken += 1
    return [row[5] for row in rows], [row[4] for row in rows]


# Few distinct coordinates and scores, so that ties, duplicates and empty boxes are common.
box_sets = st.lists(
    st.tuples(*[st.integers(0, 4)] * 4, st.integers(1, 5)), min_size=0, max_size=14
).map(lambda rows: np.array(rows, dtype=np.float32).reshape(-1, 5))


def as_boxes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, extent = rows[:, :2], rows[:, 2:4]
    return np.concatenate([low, low + extent], axis=1), rows[:, 4] / 5


@settings(max_examples=150)
@given(
    rows=box_sets,
    method=st.sampled_from(["naive", "linear", "gaussian"]),
    offset=st.integers(0, 1),
    min_score=st.sampled_from([1e-3, 0.3]),
)
def test_soft_nms_keeps_mmcvs_order_of_work(rows, method, offset, min_score):
    boxes, scores = as_boxes(rows)
    options = dict(iou_threshold=0.3, sigma=0.5, min_score=min_score, method=method, offset=offset)
    dets, kept = ops.soft_nms(boxes, scores, **options)
    order, decayed = soft_nms_by_swapping(boxes, scores, **options)
    assert kept.tolist() == order
    np.testing.assert_allclose(dets[:, 4], decayed, rtol=1e-5)
    np.testing.assert_array_equal(dets[:, :4], boxes[kept])


@settings(max_examples=100)
@given(rows=box_sets, threshold=st.sampled_from([0.2, 0.45, 0.7]), offset=st.integers(0, 1))
def test_nms_is_its_definition(rows, threshold, offset):
    boxes, scores = map(torch.from_numpy, as_boxes(rows))
    kept = ops.nms(boxes, scores, threshold, offset=offset)[1].tolist()
    grown = boxes + boxes.new_tensor([0, 0, offset, offset])
    iou = torchvision.ops.box_iou(grown, grown)
    expected: list[int] = []
    for i in scores.sort(descending=True, stable=True).indices.tolist():
        if not any(iou[i, j] > threshold for j in expected):
            expected.append(i)
    assert kept == expected


def test_roi_align_max_of_a_ramp_is_its_last_sample():
    ramp = torch.arange(16.0, dtype=torch.float64).expand(1, 1, 16, 16)
    roi = torch.tensor([[0, 2.0, 3.0, 8.0, 9.0]], dtype=torch.float64)
    for sampling_ratio, samples in [(2, 2), (0, 3)]:  # bins of 3 cells: adaptive takes 3
        output = ops.roi_align(ramp, roi, 2, 1.0, sampling_ratio, "max", True)
        last = 2 - 0.5 + 3 * torch.arange(1, 3) - 1.5 / samples
        torch.testing.assert_close(output[0, 0], last.double().expand(2, 2))


@pytest.mark.parametrize("pool_mode", ["avg", "max"])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_roi_align_gradient(pool_mode, sampling_ratio):
    features = torch.randn(2, 2, 7, 6, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor(
        [[0, 1.3, 0.2, 9.1, 7.7], [1, -3.0, 2.0, 30.0, 11.0], [1, 4.0, 4.0, 4.5, 4.2]]
    ).double()
    assert gradcheck(
        lambda x: ops.roi_align(x, rois, (3, 2), 0.5, sampling_ratio, pool_mode, True), features
    )


@pytest.mark.parametrize("pool_mode", ["avg", "max"])
def test_roi_align_without_regions_or_samples(pool_mode):
    features = torch.randn(1, 3, 5, 5, requires_grad=True)
    point = torch.tensor([[0, 2.0, 2.0, 2.0, 2.0]])  # aligned: no extent, so no adaptive sample
    for rois in (torch.zeros(0, 5), point):
        output = ops.roi_align(features, rois, 2, 1.0, 0, pool_mode, True)
        output.sum().backward()
        assert output.shape == (len(rois), 3, 2, 2)
        assert not output.any()
    assert not features.grad.any()


def test_roi_pool_agrees_with_torchvision_on_whole_cells():
    # The definitions part only where box edges fall inside cells.
    features = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    rois = torch.tensor([[0, 0, 0, 7, 8], [1, 2, 3, 5, 4], [0, 3, 3, 3, 3], [1, 4, 2, 20, 30]])
    grad = torch.randn(4, 3, 3, 2, dtype=torch.float64)
    results = []
    for pool in (ops.roi_pool, torchvision.ops.roi_pool):
        x = features.clone().requires_grad_()
        output = pool(x, rois.double(), (3, 2), 1.0)
        output.backward(grad)
        results.append((output, x.grad))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_roi_pool_gradient_and_empty_bins():
    features = torch.randn(2, 2, 6, 7, dtype=torch.float64, requires_grad=True)
    outside = [1, 40.0, 40.0, 50.0, 50.0]
    rois = torch.tensor([[0, 1.3, 0.2, 9.1, 7.7], [1, 2.2, 3.1, 8.0, 9.9], outside]).double()
    assert gradcheck(lambda x: ops.roi_pool(x, rois, (2, 3), 0.5), features)
    output = ops.roi_pool(features, rois[2:], (2, 3), 0.5)
    output.sum().backward()
    assert not output.any() and not features.grad.any()


@pytest.mark.parametrize("groups", [1, 2])
def test_deform_conv_without_offset_is_convolution(groups):
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 4 // groups, 3, 2, dtype=torch.float64, requires_grad=True)
    stride, padding, dilation = (2, 1), (1, 2), (1, 2)
    expected = F.conv2d(x, weight, None, stride, padding, dilation, groups)
    offset = x.new_zeros(2, 2 * 2 * 3 * 2, *expected.shape[2:])
    actual = ops.deform_conv2d(x, offset, weight, stride, padding, dilation, groups, 2)
    torch.testing.assert_close(actual, expected)
    grad = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, (x, weight), grad),
        torch.autograd.grad(expected, (x, weight), grad),
    )


def test_deform_conv_offsets_are_rows_then_columns_by_group():
    # A 1x1 kernel that sums two channels, each with its own offset group.
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    weight = torch.ones(1, 2, 1, 1, dtype=torch.float64)
    offset = torch.tensor([1.0, 0.0, 0.0, 2.0]).double().view(1, 4, 1, 1).expand(1, 4, 5, 6)
    output = ops.deform_conv2d(x, offset.contiguous(), weight, 1, 0, 1, 1, 2)
    down = F.pad(x[:, 0], (0, 0, 0, 1))[:, 1:]
    right = F.pad(x[:, 1], (0, 2))[:, :, 2:]
    torch.testing.assert_close(output[:, 0], down + right)


def test_modulated_deform_conv_gradient():
    shapes = [(1, 2, 4, 4), (1, 2 * 2 * 4, 3, 3), (1, 2 * 4, 3, 3), (2, 2, 2, 2), (2,)]
    inputs = [torch.rand(s, dtype=torch.float64, requires_grad=True) for s in shapes]

    def conv(x, offset, mask, weight, bias):
        return ops.modulated_deform_conv2d(x, offset, mask, weight, bias, 1, 0, 1, 1, 2)

    # Away from whole cells, where bilinear interpolation has kinks.
    inputs[1].data.mul_(0.8).add_(0.1)
    assert gradcheck(conv, inputs)
    x, offset, mask, weight, bias = inputs
    without_bias = ops.modulated_deform_conv2d(x, offset, mask, weight, None, 1, 0, 1, 1, 2)
    torch.testing.assert_close(conv(*inputs) - bias[:, None, None], without_bias)


def test_focal_loss_without_focus_is_half_the_cross_entropy():
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 2, 3, 1, 3])  # 3 is background
    loss = ops.sigmoid_focal_loss(logits, target, 0.0, 0.5, None, "none")
    one_hot = F.one_hot(target, 4)[:, :3].double()
    expected = F.binary_cross_entropy_with_logits(logits, one_hot, reduction="none") / 2
    torch.testing.assert_close(loss, expected)


def test_focal_loss_gradient_with_class_weights():
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    target, weight = torch.tensor([0, 2, 3, 1, 3]), torch.tensor([0.5, 2.0, 3.0]).double()
    plain = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, "none")
    weighted = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, "none")
    torch.testing.assert_close(weighted, plain * plain.new_tensor([0.5, 3, 1, 2, 1])[:, None])
    assert gradcheck(lambda x: ops.sigmoid_focal_loss(x, target, 2.0, 0.25, weight, "sum"), logits)


def test_focal_loss_at_extreme_logits():
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, "none")
    loss.sum().backward()
    # p = 0 for the true class, p = 1 for the false one: the loss is linear in the logit.
    torch.testing.assert_close(loss, torch.tensor([[50.0, 150.0]]))
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.75]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    features = torch.randn(1, 2, 8, 8).to(dtype)
    rois = torch.tensor([[0, 1.0, 1.0, 6.0, 5.0]], dtype=dtype)
    weight, offset = torch.randn(2, 2, 3, 3).to(dtype), torch.randn(1, 18, 6, 6).to(dtype)
    calls = [
        lambda x, r, w, o: ops.roi_align(x, r, 2, 1.0, 2, "avg", True),
        lambda x, r, w, o: ops.roi_align(x, r, 2, 1.0, 2, "max", True),
        lambda x, r, w, o: ops.roi_pool(x, r, 2, 1.0),
        lambda x, r, w, o: ops.deform_conv2d(x, o, w),
    ]
    for call in calls:
        arguments = [t.clone().requires_grad_() for t in (features, rois, weight, offset)]
        wide = [t.detach().float().requires_grad_() for t in arguments]
        output, expected = call(*arguments), call(*wide)
        output.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(output, expected.to(dtype))
        torch.testing.assert_close(arguments[0].grad, wide[0].grad.to(dtype))
    boxes, scores = torch.tensor([[0, 0, 4, 4], [0, 0, 4, 5]]).to(dtype), torch.ones(2).to(dtype)
    assert ops.nms(boxes, scores, 0.5)[1].tolist() == [0]
    assert ops.soft_nms(boxes.float(), scores.float(), 0.5, method="naive")[1].tolist() == [0]
