"""SwAV's and DeepCluster-v2's losses: the authors' numbers, closed forms and invariants."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.losses.cluster_prediction import IGNORED, cluster_prediction
from dense_cl.losses.sinkhorn import sinkhorn
from dense_cl.losses.spherical_kmeans import spherical_kmeans
from dense_cl.losses.swapped_prediction import swapped_prediction

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


@pytest.mark.parametrize("case", [1, 2])
def test_sinkhorn_golden(golden, case):
    data = golden(f"swav_sinkhorn_{case}")
    scores, expected = torch.tensor(data["scores"]), torch.tensor(data["expected_assignment"])
    options = float(data["epsilon"]), int(data["iterations"])
    torch.testing.assert_close(sinkhorn(scores, *options), expected, rtol=1e-8, atol=0)
    torch.testing.assert_close(
        sinkhorn(scores.float(), *options), expected.float(), rtol=1e-4, atol=1e-7
    )


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    samples=st.integers(1, 20),
    prototypes=st.integers(1, 20),
    scale=st.floats(0.1, 30.0),
)
def test_sinkhorn_in_float32_stays_finite_and_near_float64(seed, samples, prototypes, scale):
    """Scores of up to a hundred over 0.03: e^3000 fits no floating-point type."""
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(samples, prototypes, generator=generator)
    assignment = sinkhorn(scores, epsilon=0.03, iterations=3)
    assert assignment.isfinite().all()
    torch.testing.assert_close(assignment.sum(dim=1), torch.ones(samples))
    exact = sinkhorn(scores.double(), epsilon=0.03, iterations=3)
    # float32 keeps 24 bits of score / epsilon, and the exponential turns that into relative error.
    tolerance = 8 * float(scores.abs().max()) / 0.03 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(assignment.double(), exact, rtol=tolerance, atol=tolerance)


def test_sinkhorn_converges_to_even_shares_and_moves_with_nothing_but_differences():
    scores = torch.randn(12, 4, dtype=torch.float64)
    assignment = sinkhorn(scores, epsilon=0.5, iterations=200)
    torch.testing.assert_close(assignment.sum(dim=0), torch.full((4,), 3.0).double())
    shifted = sinkhorn(scores + torch.randn(12, 1) + torch.randn(1, 4), 0.5, 200)
    torch.testing.assert_close(shifted, assignment)  # constants of a row or a column cancel
    torch.testing.assert_close(sinkhorn(scores, 0.5, 0), (scores / 0.5).softmax(dim=1))
    assert not sinkhorn(scores.requires_grad_()).requires_grad


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize("queue", [False, True])
def test_swapped_prediction_golden(golden, case, queue):
    data = golden(f"swav_loss_{case}")
    scores = torch.tensor(data["crop_scores"], requires_grad=True)
    options = float(data["epsilon"]), int(data["iterations"])
    assignments = []
    for crop in range(int(data["num_high_res_crops"])):
        older = torch.tensor(data["queue_embeddings"][crop]) @ torch.tensor(data["prototypes"]).T
        rows = torch.cat([older, scores[crop]]) if queue else scores[crop]
        assignments.append(sinkhorn(rows, *options)[-scores.shape[1] :])
    loss = swapped_prediction(scores, torch.stack(assignments), float(data["temperature"]))
    loss.backward()
    kind = "with_queue" if queue else "no_queue"
    expected = float(data[f"expected_loss_{kind}"])
    torch.testing.assert_close(loss.item(), expected, rtol=1e-8, atol=0)
    expected = torch.tensor(data[f"expected_grad_crop_scores_{kind}"])
    torch.testing.assert_close(scores.grad, expected, **CLOSE)


def test_swapped_prediction_closed_form():
    """A view is asked for the other's assignment, never for its own."""
    scores = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]]])
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    loss = swapped_prediction(scores, torch.stack([first, second]), temperature=1.0)
    # View 0 predicts the second, view 1 the first, view 2 both.
    parts = math.log(1 + math.exp(2)), math.log(1 + math.e), 2 * math.log(2)
    assert loss.item() == pytest.approx(sum(parts) / 4)


@pytest.mark.parametrize("case", [1, 2])
def test_cluster_prediction_golden(golden, case):
    data = golden(f"deepclusterv2_loss_{case}")
    heads = range(int(data["num_heads"]))
    scores = [torch.tensor(data[f"scores_head{h}"], requires_grad=True) for h in heads]
    targets = torch.tensor(data["assignments"])[:, torch.tensor(data["batch_index"])]
    assert int(data["ignore_index"]) == IGNORED
    loss = cluster_prediction(scores, targets, float(data["temperature"]))
    loss.backward()
    torch.testing.assert_close(loss.item(), float(data["expected_loss"]), rtol=1e-8, atol=0)
    for h in heads:
        expected = torch.tensor(data[f"expected_grad_scores_head{h}"])
        torch.testing.assert_close(scores[h].grad, expected, **CLOSE)


def test_images_without_a_cluster_leave_no_gradient():
    scores = [torch.randn(2, 3, k, requires_grad=True) for k in (4, 5)]
    loss = cluster_prediction(scores, torch.full((2, 3), IGNORED), 0.1)
    loss.backward()
    assert loss == 0 and all((s.grad == 0).all() for s in scores)


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize("tile", [1 << 24, 60])
def test_spherical_kmeans_golden(golden, monkeypatch, case, tile):
    monkeypatch.setattr("dense_cl.losses.spherical_kmeans._TILE", tile)
    data = golden(f"deepclusterv2_kmeans_{case}")
    memories = torch.tensor(data["memory_embeddings"])
    for head, expected in enumerate(data["expected_assignments"]):
        points = memories[head % len(memories)]
        start = points[torch.tensor(data[f"init_index_head{head}"])]
        assignments, centroids = spherical_kmeans(points, start, int(data["num_iterations"]))
        assert np.array_equal(assignments.numpy(), expected[data["memory_index"]])
        moved = torch.tensor(data[f"expected_centroids_head{head}"])
        torch.testing.assert_close(centroids, moved, **CLOSE)


def test_spherical_kmeans_finds_directions_and_leaves_an_empty_cluster_where_it_is():
    centres = torch.eye(4)[:3]
    points = F.normalize(centres.repeat_interleave(20, 0) + 0.1 * torch.randn(60, 4), dim=1)
    lonely = -torch.ones(1, 4) / 2
    start = torch.cat([points[[0, 20, 40]], lonely])
    assignments, centroids = spherical_kmeans(points, start)
    assert torch.equal(assignments, torch.arange(3).repeat_interleave(20))
    assert torch.equal(centroids[3:], lonely)
    assert (centroids[:3] * centres).sum(dim=1).min() > 0.99
