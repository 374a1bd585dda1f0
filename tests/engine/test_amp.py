"""Mixed precision on the CPU."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from dense_cl.engine.amp import AutocastOptimWrapper, pad_narrow_map

# glibc fills what it hands out and takes back with these bytes, so that a read of uninitialised
# memory shows: 0x7e7e7e7e is 8.5e37 as a float.
_GRADIENTS = """
import torch
from torch import nn
from dense_cl.engine.amp import AutocastOptimWrapper
torch.manual_seed(0)
conv = nn.Conv2d(64, 64, 3, stride=2, padding=1)
image = torch.randn(2, 64, 1, 1)
wrapper = AutocastOptimWrapper(optimizer=torch.optim.SGD(conv.parameters(), lr=0.1))
for _ in range(3):
    conv.zero_grad()
    with wrapper.optim_context(conv):
        conv(image).sum().backward()
found = conv.weight.grad.clone()
conv.zero_grad()
torch.nn.functional.conv2d(image, conv.weight, conv.bias, 2, 1).sum().backward()
print((found - conv.weight.grad).abs().max().item() / conv.weight.grad.abs().max().item())
"""


def test_gradients_of_a_convolution_with_a_stride_beyond_its_map_are_gradients():
    environment = os.environ | {"MALLOC_PERTURB_": "129", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _GRADIENTS],
        env=environment, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 0.02  # bfloat16 has three digits


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (4, 2), (5, 5)])
def test_padding_a_narrow_map_changes_no_output(kernel, stride, size):
    conv = nn.Conv2d(2, 3, kernel, stride=stride, padding=kernel // 2, dtype=torch.float64)
    image = torch.randn(2, 2, *size, dtype=torch.float64)
    expected = conv(image)
    conv.register_forward_pre_hook(pad_narrow_map)
    torch.testing.assert_close(conv(image), expected)


def test_convolutions_are_guarded_once():
    conv = nn.Conv2d(2, 2, 3, stride=2, padding=1)
    wrapper = AutocastOptimWrapper(optimizer=torch.optim.SGD(conv.parameters(), lr=0.1))
    for _ in range(2):
        with wrapper.optim_context(conv):
            pass
    assert len(conv._forward_pre_hooks) == 1
