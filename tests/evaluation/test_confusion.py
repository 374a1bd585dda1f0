"""Scores against the reference vectors and against counts worked out by hand."""

import numpy as np
import pytest
import torch

from dense_cl.evaluation.confusion import confusion_matrix, segmentation_scores


@pytest.mark.parametrize("name", ["miou_hungarian_1", "miou_hungarian_2"])
def test_confusion_matches_the_reference(golden, name):
    vectors = golden(name)
    classes = int(max(vectors["num_gt_classes"], vectors["num_pred_classes"]))
    truth = torch.from_numpy(vectors["groundtruth"].astype(np.int64))
    truth[truth == int(vectors["ignore_index"])] = -1
    counts = confusion_matrix(torch.from_numpy(vectors["prediction"]), truth, classes)
    expected = vectors["expected_confusion_gt_by_pred"]
    np.testing.assert_array_equal(counts[: len(expected), : expected.shape[1]], expected)
    assert counts.sum() == expected.sum()


def test_scores_match_the_reference(golden):
    vectors = golden("miou_hungarian_1")
    scores = segmentation_scores(torch.from_numpy(vectors["expected_confusion_gt_by_pred"]))
    np.testing.assert_allclose(scores.iou, vectors["expected_iou_identity"], rtol=1e-8)
    for value, key in [
        (scores.mean_iou, "expected_miou_identity"),
        (scores.pixel_accuracy, "expected_pixel_accuracy"),
        (scores.mean_class_accuracy, "expected_mean_class_accuracy"),
    ]:
        np.testing.assert_allclose(value, vectors[key], rtol=1e-8)


def test_a_class_that_never_occurs_is_left_out_of_the_mean():
    scores = segmentation_scores(torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
    assert np.isnan(scores.iou[2])
    assert scores.mean_iou == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert scores.mean_class_accuracy == pytest.approx((3 / 4 + 1) / 2)


def test_a_class_predicted_but_absent_scores_zero():
    scores = segmentation_scores(torch.tensor([[2, 2], [0, 0]]))
    assert scores.iou.tolist() == [0.5, 0.0]


def test_void_pixels_are_not_counted():
    truth, prediction = torch.tensor([0, 1, -1, 9]), torch.tensor([0, 0, 1, 1])
    assert confusion_matrix(prediction, truth, 2).tolist() == [[1, 0], [1, 0]]
