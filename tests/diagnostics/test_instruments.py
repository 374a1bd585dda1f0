"""The instruments against published implementations, closed forms and slow transcriptions."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.diagnostics import alignment_uniformity, hardness
from dense_cl.diagnostics.alignment_uniformity import alignment, uniformity
from dense_cl.diagnostics.alpha_req import alpha_req
from dense_cl.diagnostics.lidar import enough_views, lidar
from dense_cl.diagnostics.spectrum import covariance_spectrum, singular_values
from dense_cl.diagnostics.tolerance import tolerance
from dense_cl.errors import DenseCLError

CASES = pytest.mark.parametrize("case", [1, 2])


def unit(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


@CASES
@pytest.mark.parametrize("chunk", [3, 1024])
def test_alignment_and_uniformity_golden(golden, case, chunk, monkeypatch):
    monkeypatch.setattr(alignment_uniformity, "_CHUNK", chunk)
    data = golden(f"alignment_uniformity_{case}")
    x, y = (torch.tensor(data[name], requires_grad=True) for name in "xy")
    distance = alignment(x, y, alpha=int(data["alpha"]))
    np.testing.assert_allclose(distance.item(), data["expected_alignment"], rtol=1e-8)
    for inputs, name in ((x, "alignment_grad_x"), (y, "alignment_grad_y")):
        (grad,) = torch.autograd.grad(distance, inputs, retain_graph=True)
        np.testing.assert_allclose(grad.numpy(), data[f"expected_{name}"], rtol=1e-8, atol=1e-14)
    for inputs, name in ((x, "x"), (y, "y")):
        spread = uniformity(inputs, t=float(data["t"]))
        np.testing.assert_allclose(spread.item(), data[f"expected_uniformity_{name}"], rtol=1e-8)
    (grad,) = torch.autograd.grad(uniformity(x, t=float(data["t"])), x)
    np.testing.assert_allclose(
        grad.numpy(), data["expected_uniformity_grad_x"], rtol=1e-8, atol=1e-14
    )


def test_uniformity_of_the_simplest_sets():
    assert uniformity(torch.eye(5, dtype=torch.float64)).item() == pytest.approx(-4)
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert uniformity(opposite).item() == pytest.approx(-8)
    assert uniformity(opposite[[0, 0, 0]]).item() == 0


@given(n=st.integers(2, 12), d=st.integers(1, 5), seed=st.integers(0, 99), chunk=st.integers(1, 13))
@settings(max_examples=40)
def test_uniformity_is_the_mean_over_pairs_whatever_the_chunks(n, d, seed, chunk):
    x = unit(n, d, seed=seed)
    pairs = torch.pdist(x).square().mul(-2).exp().mean().log()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment_uniformity, "_CHUNK", chunk)
        torch.testing.assert_close(uniformity(x), pairs, rtol=1e-9, atol=1e-12)


@CASES
def test_spectra_golden(golden, case):
    data = golden(f"rankme_lidar_alphareq_{case}")
    features = torch.tensor(data["representations"])
    np.testing.assert_allclose(
        singular_values(features).numpy(), data["expected_singular_values_uncentred"], rtol=1e-8
    )
    spectrum = covariance_spectrum(features)
    np.testing.assert_allclose(
        spectrum.numpy(), data["expected_covariance_spectrum_normalised"], rtol=1e-8
    )
    alpha = alpha_req(spectrum, int(data["fit_range_start"]), int(data["fit_range_stop"]))
    np.testing.assert_allclose(alpha.item(), data["expected_alpha_reptrix_weighted_fit"], rtol=1e-6)


@CASES
def test_lidar_golden(golden, case):
    data = golden(f"rankme_lidar_alphareq_{case}")
    views = torch.tensor(data["augmented_representations"])
    mine = lidar(views, delta=float(data["lidar_delta"])).item()
    np.testing.assert_allclose(mine, data["expected_lidar_paper"], rtol=1e-6)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.5])
def test_alpha_of_a_power_law_is_its_exponent(exponent):
    ranks = torch.arange(1, 65, dtype=torch.float64)
    assert alpha_req(3 * ranks**-exponent).item() == pytest.approx(exponent)


def test_alpha_ignores_eigenvalues_that_are_rounding_errors():
    ranks = torch.arange(1, 65, dtype=torch.float64)
    noise = torch.where(ranks <= 30, ranks**-1.5, 1e-18)
    assert alpha_req(noise).item() == pytest.approx(1.5)
    assert math.isnan(alpha_req(torch.tensor([1.0, 0.5, 0.1])).item())


def test_lidar_counts_the_directions_that_tell_images_apart():
    """Means of three directions, alike noise within: rank 2 (centred), whatever the noise."""
    means = 5 * torch.eye(8, dtype=torch.float64)[:3].repeat(40, 1)
    views = means[:, None] + torch.randn(120, 10, 8, dtype=torch.float64)
    assert lidar(views - views.mean(1, keepdim=True) + means[:, None]).item() == pytest.approx(
        2, rel=0.02
    )
    assert enough_views(120, 10, 8) and not enough_views(120, 2, 512)


def test_tolerance_is_the_mean_over_pairs_of_a_class():
    x, labels = torch.randn(30, 4, dtype=torch.float64), torch.arange(30) % 7
    unit_x = F.normalize(x, dim=1)
    cosines = [
        float(unit_x[i] @ unit_x[j])
        for i in range(30)
        for j in range(30)
        if i != j and labels[i] == labels[j]
    ]
    assert tolerance(x, labels).item() == pytest.approx(np.mean(cosines), rel=1e-10)
    with pytest.raises(DenseCLError, match="no class has two"):
        tolerance(x, torch.arange(30))


def slow_hardness(first, second, temperature, k):
    shares = []
    for i in range(len(first)):
        s = np.delete(first[i].numpy() @ second.numpy().T, i) / temperature
        weights = np.exp(s) / np.exp(s).sum()
        shares.append(np.sort(weights)[::-1][:k].sum())
    return np.mean(shares)


@pytest.mark.parametrize("chunk", [4, 512])
def test_hardness_against_a_loop(monkeypatch, chunk):
    monkeypatch.setattr(hardness, "_CHUNK", chunk)
    first, second = unit(11, 5), unit(11, 5, seed=1)
    mine = hardness.hardness(3 * first, second, (0.05, 0.3), (1, 4, 100))
    for row, temperature in enumerate((0.05, 0.3)):
        for column, k in enumerate((1, 4, 100)):
            expected = slow_hardness(first, second, temperature, k)
            assert mine[row, column].item() == pytest.approx(expected, rel=1e-10)


def test_hardness_is_what_the_gradient_of_the_loss_says():
    """Shares of |dL/ds_ij| over the negatives, from autograd."""
    similarity = (unit(9, 4) @ unit(9, 4, seed=1).T).requires_grad_()
    F.cross_entropy(similarity / 0.2, torch.arange(9), reduction="sum").backward()
    repulsion = similarity.grad[~torch.eye(9, dtype=torch.bool)].view(9, 8)
    share = repulsion.max(dim=1).values / repulsion.sum(dim=1)
    mine = hardness.hardness(unit(9, 4), unit(9, 4, seed=1), (0.2,), (1,))
    torch.testing.assert_close(mine[0, 0], share.mean())


def test_hardness_limits():
    first, second = unit(40, 6), unit(40, 6, seed=1)
    shares = hardness.hardness(first, second, (1e-6, 1.0, 1e4), (1, 10, 39))
    torch.testing.assert_close(shares[0], torch.ones(3, dtype=torch.float64))
    even = torch.tensor([1 / 39, 10 / 39, 1], dtype=torch.float64)
    torch.testing.assert_close(shares[2], even, rtol=1e-3, atol=0)
    assert (shares.diff(dim=0)[:, :2] < 0).all()


def test_similarity_histogram_counts_every_pair(monkeypatch):
    monkeypatch.setattr(hardness, "_CHUNK", 7)
    first, second = unit(20, 3), unit(20, 3, seed=1)
    centres, positives, negatives = hardness.similarity_histogram(first, second, bins=8)
    cosines = (first @ second.T).numpy()
    diagonal = np.eye(20, dtype=bool)
    edges = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(centres.numpy(), (edges[1:] + edges[:-1]) / 2)
    np.testing.assert_allclose(
        positives.numpy(), np.histogram(cosines[diagonal], edges)[0] / 20, atol=1e-12
    )
    np.testing.assert_allclose(
        negatives.numpy(), np.histogram(cosines[~diagonal], edges)[0] / 380, atol=1e-12
    )
