"""Naming clusters: reference vectors, brute force over permutations, properties."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dense_cl.evaluation.cluster_matching import (
    hungarian,
    many_to_one,
    merge_clusters,
    overlap_iou,
)
from dense_cl.evaluation.confusion import confusion_matrix, segmentation_scores


@pytest.mark.parametrize("case", [1, 2])
def test_golden(golden, case):
    data = golden(f"miou_hungarian_{case}")
    truth = torch.from_numpy(data["groundtruth"].astype(np.int64))
    truth[truth == int(data["ignore_index"])] = -1
    counts = confusion_matrix(
        torch.from_numpy(data["prediction"]),
        truth,
        int(data["num_gt_classes"]),
        int(data["num_pred_classes"]),
    )
    np.testing.assert_array_equal(counts, data["expected_confusion_gt_by_pred"])
    for name, classes in [
        ("hungarian", hungarian(counts)),
        ("many_to_one_iou", many_to_one(counts, by_precision=False)),
        ("many_to_one_precision", many_to_one(counts)),
    ]:
        np.testing.assert_array_equal(classes, data[f"expected_pred_to_gt_{name}"])
        iou = segmentation_scores(merge_clusters(counts, classes)).iou
        # The authors count a class that never occurs as 0; ours leaves it out of the mean.
        np.testing.assert_allclose(np.nan_to_num(iou), data[f"expected_iou_{name}"], rtol=1e-8)
        mean = float(np.nan_to_num(iou).mean())
        assert mean == pytest.approx(float(data[f"expected_miou_{name}"]), rel=1e-8)


counts_of = st.lists(st.lists(st.integers(0, 20), min_size=4, max_size=4), min_size=3, max_size=3)


@given(counts_of)
def test_hungarian_is_the_best_of_all_matchings(rows):
    counts = torch.tensor(rows)
    iou = overlap_iou(counts)
    best = max(
        sum(float(iou[k, c]) for k, c in enumerate(columns))
        for columns in itertools.permutations(range(4), 3)
    )
    # Of each class one cluster is matched; leftovers, which are all named 0, add nothing.
    classes = hungarian(counts)
    matched = sum(float(iou[k, classes == k].max()) for k in (1, 2) if (classes == k).any())
    first = max(float(iou[0, c]) for c in torch.nonzero(classes == 0).flatten())
    assert matched + first >= best - 1e-12


@given(counts_of)
def test_merging_keeps_every_pixel_and_precision_maximises_accuracy(rows):
    counts = torch.tensor(rows)
    merged = {f: merge_clusters(counts, f(counts)) for f in (hungarian, many_to_one)}
    for confusion in merged.values():
        assert torch.equal(confusion.sum(1), counts.sum(1))
    hits = merged[many_to_one].diagonal().sum()
    assert hits == counts.max(dim=0).values.sum() >= merged[hungarian].diagonal().sum()


def test_a_perfect_clustering_is_recognised_whatever_its_numbers():
    truth = torch.tensor([0, 0, 1, 2, 2, 2])
    renamed = torch.tensor([2, 0, 1])[truth]
    counts = confusion_matrix(renamed, truth, 3)
    assert hungarian(counts).tolist() == [1, 2, 0]
    assert segmentation_scores(merge_clusters(counts, hungarian(counts))).mean_iou == 1
