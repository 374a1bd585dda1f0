"""Group normalisation in any memory format."""

import pytest
import torch
from torch import nn

from dense_cl.models.norm import norm_layer


def maps(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 64, 3, 5, generator=generator, dtype=torch.float64).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_group_norm_is_torchs_and_keeps_the_memory_format(dtype):
    layer = norm_layer("GN")(64)
    assert isinstance(layer, nn.GroupNorm) and layer.num_groups == 32
    plain = nn.GroupNorm(32, 64).to(dtype)
    with torch.no_grad():
        for number, value in enumerate(layer.parameters()):
            value.uniform_(0.5 + number, 2)
    plain.load_state_dict(layer.state_dict())
    layer.to(dtype)
    x = maps(dtype)
    ours, theirs = layer(x), plain(x)
    assert ours.is_contiguous(memory_format=torch.channels_last) and ours.dtype == dtype
    tolerance = {torch.bfloat16: 0.05, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(layer(x.contiguous()), ours, atol=0, rtol=0)
    vectors = x.flatten(1)[:, :64]
    torch.testing.assert_close(layer(vectors), plain(vectors))


def test_group_norm_has_both_derivatives():
    layer = norm_layer("GN")(64).double()
    x = maps().requires_grad_()
    assert torch.autograd.gradcheck(layer, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, x, fast_mode=True)
