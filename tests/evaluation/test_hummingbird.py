"""Retrieval against the authors' results and a loop; neighbours chunk by chunk."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense_cl.evaluation import neighbours
from dense_cl.evaluation.confusion import confusion_matrix, segmentation_scores
from dense_cl.evaluation.hummingbird import balanced_sample, transfer_labels
from dense_cl.evaluation.linear_probe import label_cells
from dense_cl.evaluation.neighbours import nearest_neighbours


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize("chunk", [8, 1024])
def test_golden(golden, case, chunk, monkeypatch):
    monkeypatch.setattr(neighbours, "QUERIES", chunk)
    monkeypatch.setattr(neighbours, "MEMORY", 2 * chunk)
    data = golden(f"hummingbird_{case}")
    classes, grid = int(data["num_classes"]), int(data["grid"])
    masks = torch.tensor(data["train_masks"])
    masks[masks == 255] = 0  # the authors count void patches as background
    shares = torch.stack([label_cells(mask, (grid, grid), classes) for mask in masks])
    shares = shares.double().flatten(2).transpose(1, 2).flatten(0, 1)
    np.testing.assert_allclose(shares, data["expected_memory_labels"], rtol=1e-6)

    memory = torch.tensor(data["train_patch_features"]).flatten(0, 1)
    queries = torch.tensor(data["val_patch_features"])
    shares = torch.tensor(data["expected_memory_labels"]).double()
    k, beta = int(data["num_neighbours"]), float(data["beta"])
    _, index = nearest_neighbours(
        F.normalize(memory, dim=1), F.normalize(queries.flatten(0, 1), dim=1), k
    )
    np.testing.assert_array_equal(
        index.sort(1).values, np.sort(data["expected_neighbour_index"].reshape(-1, k), axis=1)
    )
    labels = transfer_labels(memory, shares, queries.flatten(0, 1), k, beta)
    labels = labels.unflatten(0, queries.shape[:2])
    np.testing.assert_allclose(labels, data["expected_transferred_labels"], rtol=1e-8, atol=1e-14)
    truth = torch.tensor(data["val_masks"])
    maps = labels.transpose(1, 2).unflatten(2, (grid, grid))
    fine = F.interpolate(maps.float(), size=truth.shape[1:], mode="bilinear")
    np.testing.assert_array_equal(fine.argmax(1), data["expected_prediction"])
    counts = confusion_matrix(fine.argmax(1), truth, classes)
    np.testing.assert_array_equal(counts, data["expected_confusion_gt_by_pred"])
    iou = np.nan_to_num(segmentation_scores(counts).iou)
    assert iou.mean() == pytest.approx(float(data["expected_miou_identity"]), rel=1e-8)


def test_chunks_change_nothing_and_no_query_finds_itself(monkeypatch):
    points = F.normalize(torch.randn(23, 3, dtype=torch.float64), dim=1)
    for alone in (False, True):
        monkeypatch.undo()
        whole = nearest_neighbours(points, points, 4, leave_one_out=alone)
        monkeypatch.setattr(neighbours, "QUERIES", 5)
        monkeypatch.setattr(neighbours, "MEMORY", 3)
        parts = nearest_neighbours(points, points, 4, leave_one_out=alone)
        torch.testing.assert_close(parts[0], whole[0])
        assert torch.equal(parts[1], whole[1])
        itself = (whole[1] == torch.arange(23)[:, None]).any(1)
        assert not itself.any() if alone else itself.all()


def test_a_cold_temperature_copies_the_nearest_and_a_hot_one_averages():
    memory, shares = torch.eye(3), torch.eye(3)
    query = torch.tensor([[1.0, 0.5, 0.2]])
    cold = transfer_labels(memory, shares, query, k=3, temperature=1e-4)
    torch.testing.assert_close(cold, torch.tensor([[1.0, 0.0, 0.0]]))
    hot = transfer_labels(memory, shares, query, k=2, temperature=1e6)
    torch.testing.assert_close(hot, torch.tensor([[0.5, 0.5, 0.0]]), rtol=1e-4, atol=1e-4)


def test_a_bounded_memory_prefers_rare_classes_and_labelled_patches():
    shares = torch.zeros(100, 3)
    shares[:90, 0] = 1  # common
    shares[90:95, 1] = 1  # rare; the last five have no label
    taken = torch.zeros(100)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        taken[balanced_sample(shares, 10, generator)] += 1
    # Uniform numbers times 90 and 5: about 5 common patches lie below 5, so 4 of 5 rare ones win.
    assert taken[90:95].min() > 150 > 50 > taken[:90].max()
    assert taken[95:].sum() == 0
    assert balanced_sample(shares, 500, generator).sort().values.tolist() == list(range(100))
