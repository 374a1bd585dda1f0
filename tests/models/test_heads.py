"""Projection heads against the authors' neck."""

import pytest
import torch
from torch import nn

from dense_cl.errors import DenseCLError
from dense_cl.models.heads import DenseMLPHead, MLPHead, Predictor
from dense_cl.models.standardized import StandardizedConv2d, StandardizedLinear


@pytest.mark.parametrize("case", [1, 2])
def test_golden_neck(golden, case):
    data = {name: torch.tensor(value) for name, value in golden(f"densecl_neck_{case}").items()}
    hidden, channels = data["weight_mlp_0_weight"].shape
    out = len(data["weight_mlp_2_bias"])
    heads = {
        "mlp": MLPHead(channels, hidden, out).double(),
        "mlp2": DenseMLPHead(
            channels, hidden, out, grid_size=int(data["num_grid"]) or None
        ).double(),
    }
    for name, head in heads.items():
        # The last two dimensions of the authors' 1x1 convolutions are 1.
        weights = {
            f"layers.{i}.{kind}": data[f"weight_{name}_{i}_{kind}"].view(parameter.shape)
            for i in (0, 2)
            for kind, parameter in head.layers[i].named_parameters()
        }
        head.load_state_dict(weights)
    features = data["backbone_features"].requires_grad_(True)
    vector, dense = heads["mlp"](features), heads["mlp2"](features)
    pooled = dense.mean(dim=(2, 3))
    close = {"rtol": 1e-8, "atol": 1e-12}
    torch.testing.assert_close(vector, data["expected_global"], **close)
    torch.testing.assert_close(dense.flatten(2), data["expected_dense"], **close)
    torch.testing.assert_close(pooled, data["expected_gap_of_dense"], **close)
    upstream = (vector * data["upstream_global"]).sum() + (
        pooled * data["upstream_gap_dense"]
    ).sum()
    (upstream + (dense.flatten(2) * data["upstream_dense"]).sum()).backward()
    torch.testing.assert_close(features.grad, data["expected_grad_backbone_features"], **close)


def test_dense_head_normalises_over_the_locations_of_all_images():
    head = DenseMLPHead(6, 8, 3, norm="BN").double()
    convolutions = nn.Sequential(
        nn.Conv2d(6, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 1)
    ).double()
    state = head.layers.state_dict()
    shapes = convolutions.state_dict()
    convolutions.load_state_dict({k: state[k].view(shapes[k].shape) for k in shapes})
    maps = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(head(maps), convolutions(maps))
    head.eval(), convolutions.eval()  # the running statistics as well
    torch.testing.assert_close(head(maps), convolutions(maps))


def test_one_layer_is_the_linear_head_of_moco_v1():
    head = MLPHead(6, out_channels=3, num_layers=1)
    features = torch.randn(2, 6, 4, 5)
    layer = head.layers[0]
    expected = features.mean(dim=(2, 3)) @ layer.weight.T + layer.bias
    torch.testing.assert_close(head(features), expected)
    assert len(head.layers) == 1


def test_no_layer_is_the_pooled_features():
    features = torch.randn(2, 6, 4, 5)
    head = MLPHead(6, num_layers=0)
    assert head.out_channels == 6
    torch.testing.assert_close(head(features), features.mean(dim=(2, 3)))
    dense = DenseMLPHead(6, num_layers=0, grid_size=2)
    assert dense.out_channels == 6 and dense(features).shape == (2, 6, 2, 2)
    with pytest.raises(DenseCLError, match="num_layers is -1"):
        MLPHead(6, num_layers=-1)


def test_normalised_head_has_the_layers_of_the_papers():
    head = MLPHead(6, 8, 4, num_layers=3, norm="BN", norm_last=True)
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "BatchNorm1d"]
    assert all(layer.bias is None for layer in head.layers if isinstance(layer, torch.nn.Linear))
    assert head.layers[1].affine and not head.layers[7].affine
    vectors = head(torch.randn(16, 6, 2, 2))
    torch.testing.assert_close(vectors.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    plain_end = Predictor(4, 8, norm="BN").layers
    assert [type(layer).__name__ for layer in plain_end] == [
        "Linear",
        "BatchNorm1d",
        "ReLU",
        "Linear",
    ]
    assert plain_end[3].bias is not None and Predictor(4, num_layers=0)(vectors) is vectors


def test_standardized_head_takes_out_what_all_images_share():
    """A standardised linear layer is a standardised 1x1 convolution, blind to a shared offset."""
    torch.manual_seed(0)
    head = MLPHead(8, 64, 4, num_layers=2, norm="GN", standardize_weights=True).double()
    plain = MLPHead(8, 64, 4, num_layers=2, norm="GN").double()
    plain.load_state_dict(head.state_dict())
    assert all(type(m) is StandardizedLinear for m in head.layers[::3])
    pooled = torch.randn(5, 8, dtype=torch.float64)
    torch.testing.assert_close(head(pooled + 3), head(pooled))
    assert (plain(pooled + 3) - plain(pooled)).abs().max() > 0.1
    convolution = StandardizedConv2d(8, 64, 1, bias=False).double()
    convolution.weight.data = head.layers[0].weight.detach()[:, :, None, None]
    torch.testing.assert_close(
        head.layers[0](pooled), convolution(pooled[:, :, None, None])[..., 0, 0]
    )
