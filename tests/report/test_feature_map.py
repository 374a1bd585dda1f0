"""The map of features: every image at its place, framed in the colour of its class."""

import numpy as np

from dense_cl.report.draw import PALETTE
from dense_cl.report.feature_map import draw_feature_map


def test_places_frames_and_axes() -> None:
    images = np.stack([np.full((20, 20, 3), value, np.uint8) for value in (10, 120, 200)])
    places = np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 7.0]])
    drawn = draw_feature_map(images, places, ("b", "a", "b"), side=300, thumbnail=40)
    assert drawn.shape == (300, 300, 3)
    # Centres of the thumbnails, row and column: bottom left, bottom right, top middle.
    for (row, column), value, colour in (
        ((280, 20), 10, 1), ((280, 280), 120, 0), ((20, 150), 200, 1)
    ):  # fmt: skip
        assert (drawn[row, column] == value).all()
        assert tuple(drawn[row, column - 19]) == PALETTE[colour]
    assert (drawn[150, 150] == 255).all()


def test_features_all_in_one_place_and_no_classes() -> None:
    drawn = draw_feature_map(np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 2)), side=100)
    assert (drawn[100 - 28, 28] == 0).all()
