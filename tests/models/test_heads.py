"""Projection heads against the authors' neck."""

import pytest
import torch

from dense_cl.errors import DenseCLError
from dense_cl.models.heads import DenseMLPHead, MLPHead


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


def test_one_layer_is_the_linear_head_of_moco_v1():
    head = MLPHead(6, out_channels=3, num_layers=1)
    features = torch.randn(2, 6, 4, 5)
    layer = head.layers[0]
    expected = features.mean(dim=(2, 3)) @ layer.weight.T + layer.bias
    torch.testing.assert_close(head(features), expected)
    assert len(head.layers) == 1


def test_no_layer_is_refused():
    with pytest.raises(DenseCLError, match="at least one layer"):
        MLPHead(6, num_layers=0)
