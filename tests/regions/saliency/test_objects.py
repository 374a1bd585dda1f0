"""From maps to numbered objects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dense_cl.errors import DenseCLError
from dense_cl.regions.saliency import RobustBackground
from dense_cl.regions.saliency.objects import as_levels, salient_objects
from dense_cl.registry import REGIONS


def blobs() -> np.ndarray:
    saliency = np.zeros((20, 30))
    saliency[2:6, 3:7] = 0.9  # 16 pixels
    saliency[10:18, 15:25] = 0.6  # 80
    saliency[6, 7] = 0.9  # touches the first by a corner
    saliency[0, 29] = 1.0  # a speck
    return saliency


def test_components_are_numbered_by_size_and_specks_are_background():
    ids = salient_objects(blobs(), 0.5, min_share=0.01, max_share=0.9)
    expected = np.full((20, 30), -1)
    expected[10:18, 15:25] = 0
    expected[2:6, 3:7] = expected[6, 7] = 1
    np.testing.assert_array_equal(ids, expected)
    assert salient_objects(blobs(), 0.5, 0.0, 0.9)[0, 29] == 2
    only_bright = salient_objects(blobs(), 0.8, 0.01, 0.9)
    assert only_bright.max() == 0 and (only_bright[10:18, 15:25] == -1).all()
    assert salient_objects(blobs(), 0.5, 0.05, 0.9).max() == 0  # 17 of 600 pixels are too few


def test_equal_sizes_are_numbered_in_reading_order():
    saliency = np.zeros((9, 9))
    saliency[6:8, 1:3] = saliency[1:3, 6:8] = saliency[1:3, 1:3] = 1
    ids = salient_objects(saliency, 0.5, 0.01, 0.9)
    assert (ids[1, 1], ids[1, 6], ids[6, 1]) == (0, 1, 2)


def test_the_levels_of_the_rules():
    saliency = np.repeat([0.0, 0.1, 0.35, 0.4, 1.0], [60, 20, 8, 8, 4]).reshape(10, 10)

    def salient(threshold):
        return (salient_objects(saliency, threshold, 0.0, 0.99) >= 0).sum()

    # By hand: twice the mean of 0.12 is 0.24; Otsu's two classes are split between 0.1 and 0.35.
    assert salient("adaptive") == 20 and salient("otsu") == 20
    assert salient(0.38) == 12 and salient(0.05) == 40
    bright = 1 - 0.2 * saliency  # twice its mean is beyond 1, which the brightest reach
    assert (salient_objects(bright, "adaptive", 0.0, 0.99) >= 0).sum() == 60


@pytest.mark.parametrize("threshold", ["otsu", "adaptive"])
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_rules_of_difference_find_nothing_in_a_map_without(threshold, value):
    assert (salient_objects(np.full((5, 4), value), threshold, 0.0, 1.0) == -1).all()


@pytest.mark.parametrize(("value", "expected"), [(0.0, -1), (0.4, -1), (0.5, 0), (1.0, 0)])
def test_a_level_counts_in_a_map_without_differences_too(value, expected):
    even = np.full((5, 4), value)
    assert (salient_objects(even, 0.5, 0.0, 1.0) == expected).all()
    assert (salient_objects(even, 0.5, 0.0, 0.9) == -1).all()  # more than max_share


def test_what_is_salient_everywhere_is_nothing_salient():
    saliency = np.ones((10, 10))
    saliency[0, 0] = 0
    assert (salient_objects(saliency, 0.5, 0.01, 0.9) == -1).all()
    assert (salient_objects(saliency, 0.5, 0.01, 0.99) == 0).sum() == 99


@settings(max_examples=60)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)),
           elements=st.floats(0, 1, width=32)),
    st.sampled_from(["otsu", "adaptive", 0.3]),
    st.floats(0, 0.3),
)  # fmt: skip
def test_what_holds_for_every_map(saliency, threshold, min_share):
    ids = salient_objects(saliency, threshold, min_share, 0.9)
    sizes = np.bincount(ids[ids >= 0])
    assert (np.diff(sizes) <= 0).all() and (sizes >= min_share * ids.size).all()
    assert (ids >= 0).mean() <= 0.9
    # Kept in a file of 8 bits, it has the same objects; upside down, the same salient pixels.
    np.testing.assert_array_equal(
        salient_objects(as_levels(saliency) / 255.0, threshold, min_share, 0.9), ids
    )
    turned = salient_objects(saliency[::-1], threshold, min_share, 0.9)[::-1]
    np.testing.assert_array_equal(turned >= 0, ids >= 0)


@pytest.mark.parametrize(
    "options",
    [
        dict(threshold="ostu"),
        dict(threshold=0.0),
        dict(threshold=1.5),
        dict(min_share=0.9, max_share=0.5),
        dict(min_share=-0.1),
        dict(max_share=1.1),
        dict(pixels=0),
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(DenseCLError, match="regions RobustBackground: "):
        REGIONS.build(dict(type="RobustBackground", **options))


def test_settings_name_every_option():
    assert RobustBackground(threshold=0.25).settings() == {
        "type": "RobustBackground", "pixels": 600, "max_size": 400, "threshold": 0.25,
        "min_share": 0.01, "max_share": 0.9,
    }  # fmt: skip
