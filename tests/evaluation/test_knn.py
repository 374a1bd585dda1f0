"""kNN against facebookresearch/dino's votes, chunk by chunk."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense_cl.errors import DenseCLError
from dense_cl.evaluation import neighbours
from dense_cl.evaluation.knn import knn_accuracy, knn_votes


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize("chunk", [7, 1024])
def test_golden(golden, case, chunk, monkeypatch):
    monkeypatch.setattr(neighbours, "QUERIES", chunk)
    monkeypatch.setattr(neighbours, "MEMORY", 3 * chunk)
    data = golden(f"dino_knn_{case}")
    memory, labels, queries, truth = (
        torch.tensor(data[name])
        for name in ("train_features", "train_labels", "test_features", "test_labels")
    )
    for k in data["k_values"]:
        votes = knn_votes(
            memory, labels, queries, int(data["num_classes"]), int(k), float(data["temperature"])
        )
        expected = data[f"expected_votes_k{k}"]
        share = expected / expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(votes.numpy(), share, rtol=1e-8, atol=1e-14)
        np.testing.assert_array_equal(votes.argmax(1).numpy(), data[f"expected_prediction_k{k}"])
        top1 = 100 * (votes.argmax(1) == truth).double().mean().item()
        assert top1 == pytest.approx(float(data[f"expected_top1_k{k}"]))


def test_accuracy_normalises_and_defaults_are_dinos():
    generator = torch.Generator().manual_seed(0)
    memory, queries = (torch.randn(60, 5, generator=generator) for _ in range(2))
    labels, truth = torch.arange(60) % 3, (memory @ queries.T).argmax(0) % 3
    lengths = torch.rand(60, 1, generator=generator) + 0.1
    votes = knn_votes(F.normalize(memory, dim=1), labels, F.normalize(queries, dim=1), 3, 20, 0.07)
    expected = (votes.argmax(1) == truth).double().mean().item()
    assert knn_accuracy(memory * lengths, labels, queries / lengths, truth) == expected


def test_leaving_one_out_equals_a_loop_without_it(monkeypatch):
    monkeypatch.setattr(neighbours, "QUERIES", 4)
    monkeypatch.setattr(neighbours, "MEMORY", 3)
    features = F.normalize(torch.randn(15, 4, dtype=torch.float64), dim=1)
    labels = torch.arange(15) % 3
    votes = knn_votes(features, labels, features, 3, k=5, leave_one_out=True)
    for i in range(15):
        rest = torch.arange(15) != i
        alone = knn_votes(features[rest], labels[rest], features[i : i + 1], 3, k=5)
        torch.testing.assert_close(votes[i : i + 1], alone)
    # Each image alone in its direction: whoever votes, it is not the image itself.
    assert knn_accuracy(torch.eye(4), torch.tensor([0, 1, 2, 3])) == 0


def test_cold_temperatures_do_not_overflow_and_one_image_is_refused():
    features = F.normalize(torch.randn(8, 3), dim=1)
    votes = knn_votes(features, torch.arange(8), features, 8, temperature=1e-3)
    torch.testing.assert_close(votes, torch.eye(8), atol=1e-5, rtol=0)
    with pytest.raises(DenseCLError, match="two labelled images"):
        knn_accuracy(torch.ones(1, 2), torch.tensor([0]))
