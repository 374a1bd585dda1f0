import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import RandomResizedCrop as Reference

from dense_cl.views.crops import RandomResizedCrop, crop_and_resize


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**31))
def test_boxes_lie_inside_the_source(height, width, seed):
    crops = RandomResizedCrop().sample((height, width), 3, random.Random(seed))
    for (x1, y1, x2, y2), tries in crops:
        assert tries is None
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height


def test_boxes_are_distributed_as_torchvisions():
    policy, rng = RandomResizedCrop(scale=(0.2, 1.0)), random.Random(0)
    boxes = np.array([crop.box for crop in policy.sample((120, 200), 4000, rng)])
    ours = np.stack([boxes[:, 0], boxes[:, 1], *(boxes[:, 2:] - boxes[:, :2]).T])
    torch.manual_seed(0)
    image = torch.zeros(1, 120, 200)
    theirs = np.array(
        [Reference.get_params(image, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    )
    theirs = theirs[:, [1, 0, 3, 2]].T
    for a, b in zip(ours, theirs, strict=True):
        quantiles = np.quantile(a, [0.1, 0.5, 0.9]) - np.quantile(b, [0.1, 0.5, 0.9])
        assert np.abs(quantiles).max() < 6  # three standard errors of a quantile of 4000


def test_a_strip_falls_back_to_its_centre():
    policy = RandomResizedCrop(scale=(0.9, 1.0))
    assert policy.sample((10, 200), 1, random.Random(0))[0].box == (93, 0, 106, 10)
    assert policy.sample((200, 10), 1, random.Random(0))[0].box == (0, 93, 10, 106)


@settings(max_examples=25)
@given(
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_resizing_is_pillows(box_size, size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (160, 170, 3), dtype=np.uint8)
    box = (7, 5, 7 + box_size[1], 5 + box_size[0])
    patch = Image.fromarray(image).crop(box)
    expected = np.asarray(patch.resize(size[::-1], Image.Resampling.BILINEAR))
    actual = crop_and_resize(image, box, size)
    assert actual.flags.c_contiguous and actual.dtype == np.uint8
    assert np.abs(actual.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("size", [(20, 30), (40, 60), (8, 9)])
def test_crops_are_copies(size):
    image = np.zeros((40, 60, 3), np.uint8)
    crop_and_resize(image, (0, 0, 60, 40), size)[:] = 1
    assert not image.any()
