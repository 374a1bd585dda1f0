"""Which readings raise an alarm, and that it says what is wrong."""

import math

import pytest

from dense_cl.diagnostics.alarm import queue_warnings, readings, symptoms

QUEUES = {"info_nce": 1024, "dense_info_nce": 256}


CHANNELS = {"feature": 512, "byol_projection": 64}


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (dict(info_nce=math.log(1025), dense_info_nce=3.0), {"info_nce"}),
        (dict(info_nce=math.log(257), dense_info_nce=math.log(257)), {"dense_info_nce"}),
        (dict(info_nce=math.log(1025) - 0.1, dense_info_nce=4.0), set()),
        (dict(feature_std=0.11 / 512**0.5, feature_rank=2.1), set()),
        (dict(feature_std=0.09 / 512**0.5), {"feature_std"}),
        (dict(feature_rank=1.9), {"feature_rank"}),
        (dict(byol_projection_std=0.013, byol_projection_rank=1.9), {"byol_projection_rank"}),
        (dict(byol_projection_std=0.013, byol_projection_rank=2.1), set()),
    ],
)
def test_symptoms(terms: dict[str, float], expected: set[str]) -> None:
    values = readings(terms, QUEUES)
    assert values.keys() == terms.keys()
    assert symptoms(values, QUEUES, CHANNELS, images=32).keys() == expected


def test_every_alarm_says_what_is_wrong_and_how_to_mend_it() -> None:
    terms = dict(byol_projection_std=1e-4, feature_rank=1.2, info_nce=math.log(1025))
    found = symptoms(readings(terms, QUEUES), QUEUES, CHANNELS, images=32)
    complete = "byol projections (complete collapse). Usual causes: no predictor"
    assert complete in found["byol_projection_std"]
    assert "rank of the features of 32 images is 1.2, below 2.0" in found["feature_rank"]
    assert "Check the learning rate" in found["info_nce"]


def test_one_collapse_is_one_alarm() -> None:
    terms = dict(byol_projection_std=1e-4, byol_projection_rank=1.2)
    assert list(symptoms(terms, QUEUES, CHANNELS, images=32)) == ["byol_projection_std"]


def test_queue_longer_than_the_data_is_announced() -> None:
    (message,) = queue_warnings(QUEUES, images=1000)
    assert "objectives.info_nce.bank holds 1024" in message
    assert queue_warnings(QUEUES, images=1024) == []
