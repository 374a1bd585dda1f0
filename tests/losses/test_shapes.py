"""Inputs that torch would broadcast, and that do not belong together."""

import pytest
import torch

from dense_cl.errors import DenseCLError
from dense_cl.losses.barlow_twins import barlow_twins
from dense_cl.losses.info_nce import info_nce
from dense_cl.losses.pixel_propagation import propagate

Q, NEGATIVES = torch.randn(8, 16), torch.randn(100, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: info_nce(Q, Q[:1], NEGATIVES, 0.2), r"key has the shape \(1, 16\).*\(8, 16\)"),
        (lambda: info_nce(Q, Q, NEGATIVES, 0.0), "temperature is 0.0; it must be above 0"),
        (lambda: info_nce(Q, Q, NEGATIVES, float("nan")), "temperature is nan"),
        (lambda: info_nce(Q, Q, NEGATIVES, 0.2, torch.ones(1)), r"weight has the shape \(1,\)"),
        (lambda: info_nce(Q, Q, NEGATIVES, 0.2, torch.ones(8, 1)), "weight has the shape"),
        (lambda: barlow_twins(Q, Q[:1], 0.005), "second has the shape"),
        (lambda: barlow_twins(Q[..., None], Q[..., None], 0.005), "must be of 2 dimensions"),
        (lambda: propagate(torch.ones(2, 4, 3, 3), torch.ones(2, 4, 3, 3)), "features has the sh"),
        (lambda: propagate(torch.ones(2, 4, 9), torch.ones(2, 4, 1)), "values has the shape"),
    ],
)
def test_shapes_that_do_not_belong_together(call, message):
    with pytest.raises(DenseCLError, match=message):
        call()
