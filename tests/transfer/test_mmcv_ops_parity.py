"""mmcv's public functions on the fallback against vectors made with compiled mmcv."""

import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor

from dense_cl.transfer.mmcv_ops import ensure

ensure()
from mmcv import ops
from mmdet.models.losses.focal_loss import sigmoid_focal_loss

CASES = [1, 2]
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    return request.param


@pytest.fixture(params=CASES)
def vectors(request, golden, device):
    """Return a loader: name -> arrays, each also as a tensor on the device under test."""

    def load(name: str):
        arrays = golden(f"{name}_{request.param}")
        return arrays, {k: torch.from_numpy(v).to(device) for k, v in arrays.items() if v.ndim}

    return load


def close(actual: Tensor, expected, rtol: float = 1e-8) -> None:
    assert_allclose(
        actual.detach().cpu().numpy(), expected, rtol=rtol, atol=rtol * abs(expected).max()
    )


def same(actual: Tensor, expected) -> None:
    assert_array_equal(actual.cpu().numpy(), expected)


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [t.clone().requires_grad_() for t in tensors]


def test_nms(vectors):
    arrays, tensors = vectors("mmcv_nms")
    boxes, scores, labels = tensors["boxes_x1y1x2y2"], tensors["scores"], tensors["labels"]
    max_num = int(arrays["max_num"])
    for threshold in arrays["iou_thresholds"].tolist():
        key = f"iou{threshold:.1f}".replace(".", "p")
        same(ops.nms(boxes, scores, threshold)[1], arrays[f"expected_keep_{key}"])
        same(ops.nms(boxes, scores, threshold, offset=1)[1], arrays[f"expected_keep_offset1_{key}"])
        kept = ops.nms(boxes, scores, threshold, score_threshold=0.3, max_num=max_num)[1]
        same(kept, arrays[f"expected_keep_scorethr0p3_maxnum_{key}"])
        config = dict(type="nms", iou_threshold=threshold)
        dets, kept = ops.batched_nms(boxes, scores, labels, config)
        same(kept, arrays[f"expected_batched_keep_{key}"])
        same(dets, arrays[f"expected_batched_dets_{key}"])


@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_soft_nms(vectors, method):
    arrays, tensors = vectors("mmcv_soft_nms")
    boxes, scores, labels = tensors["boxes_x1y1x2y2"], tensors["scores"], tensors["labels"]
    options = {k: float(arrays[k]) for k in ("iou_threshold", "sigma", "min_score")}
    dets, kept = ops.soft_nms(boxes, scores, method=method, **options)
    same(kept, arrays[f"expected_order_{method}"])
    same(dets[:, :4], arrays["boxes_x1y1x2y2"][kept.cpu()])
    close(dets[:, 4], arrays[f"expected_scores_{method}"], rtol=1e-5)
    config = dict(type="soft_nms", method=method, **options)
    dets, kept = ops.batched_nms(boxes, scores, labels, config)
    same(kept, arrays[f"expected_batched_order_{method}"])
    close(dets[:, 4], arrays[f"expected_batched_scores_{method}"], rtol=1e-5)


@pytest.mark.parametrize("pool_mode", ["avg", "max"])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [0, 1])
def test_roi_align(vectors, aligned, sampling_ratio, pool_mode):
    arrays, tensors = vectors("mmcv_roi_align")
    (features,) = leaves(tensors["input"])
    size = (int(arrays["output_height"]), int(arrays["output_width"]))
    scale = float(arrays["spatial_scale"])
    layer = ops.RoIAlign(size, scale, sampling_ratio, pool_mode, aligned=bool(aligned))
    output = layer(features, tensors["rois_batch_x1y1x2y2"])
    output.backward(tensors["upstream_grad"])
    key = f"aligned{aligned}_sampling{sampling_ratio}_{pool_mode}"
    close(output, arrays[f"expected_output_{key}"])
    close(features.grad, arrays[f"expected_grad_input_{key}"])


def test_roi_pool_follows_mmcv_and_not_torchvision(vectors):
    arrays, tensors = vectors("roi_pool")
    size = (int(arrays["output_height"]), int(arrays["output_width"]))
    scale = float(arrays["spatial_scale"])
    output = ops.roi_pool(tensors["input"], tensors["rois_batch_x1y1x2y2"], size, scale)
    close(output, arrays["alt_output_mmcv_cuda_formula"])


def test_deform_conv(vectors):
    arrays, tensors = vectors("mmcv_deform_conv")
    names = ("stride", "padding", "dilation", "groups", "deform_groups")
    geometry = [int(arrays[name]) for name in names]
    x, offset, weight = leaves(
        tensors["input"], tensors["offset_yx_interleaved"], tensors["weight"]
    )
    output = ops.deform_conv2d(x, offset, weight, *geometry)
    output.backward(tensors["upstream_grad"])
    close(output, arrays["expected_deform_conv2d"])
    close(x.grad, arrays["expected_deform_grad_input"])
    close(offset.grad, arrays["expected_deform_grad_offset"])
    close(weight.grad, arrays["expected_deform_grad_weight"])


def test_modulated_deform_conv(vectors):
    arrays, tensors = vectors("mmcv_deform_conv")
    names = ("stride", "padding", "dilation", "groups", "deform_groups")
    geometry = [int(arrays[name]) for name in names]
    inputs = leaves(
        *(tensors[k] for k in ("input", "offset_yx_interleaved", "mask", "weight", "bias"))
    )
    output = ops.modulated_deform_conv2d(*inputs, *geometry)
    output.backward(tensors["upstream_grad"])
    close(output, arrays["expected_modulated_deform_conv2d"])
    for tensor, name in zip(inputs, ("input", "offset", "mask", "weight", "bias"), strict=True):
        close(tensor.grad, arrays[f"expected_modulated_grad_{name}"])


def test_sigmoid_focal_loss(vectors):
    arrays, tensors = vectors("sigmoid_focal_loss")
    gamma, alpha = float(arrays["gamma"]), float(arrays["alpha"])
    (logits,) = leaves(tensors["logits"])
    targets = tensors["targets"]
    elementwise = ops.sigmoid_focal_loss(logits, targets, gamma, alpha, None, "none")
    close(elementwise, arrays["expected_elementwise"])
    reductions = {
        "mean": dict(reduction="mean"),
        "sum": dict(reduction="sum"),
        "weighted_avgfactor": dict(
            weight=tensors["sample_weight"], avg_factor=float(arrays["avg_factor"])
        ),
    }
    for name, options in reductions.items():
        logits.grad = None
        loss = sigmoid_focal_loss(logits, targets, gamma=gamma, alpha=alpha, **options)
        loss.backward()
        close(loss, arrays[f"expected_loss_{name}"])
        close(logits.grad, arrays[f"expected_grad_logits_{name}"])
