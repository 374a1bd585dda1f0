"""Any image-level objective beside any pixel- or region-level one."""

import itertools

import pytest
import torch
from learners import BOX_METHODS, IMAGE_METHODS, begin, build_learner, dense_info_nce, info_nce
from mmengine.optim import OptimWrapper
from region_learners import REGION_METHODS, region_data

IMAGE = {"info_nce": info_nce(), **IMAGE_METHODS}
PLACES = {
    "dense_info_nce": dense_info_nce(),
    "geometric": dense_info_nce("GeometricNearest"),
    **BOX_METHODS,
    **REGION_METHODS,
}


@pytest.mark.parametrize(("image", "place"), list(itertools.product(IMAGE, PLACES)))
def test_every_pair_trains_both_of_its_terms(image, place):
    print(image, place)
