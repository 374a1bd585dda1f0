"""NT-Xent and MoCo v3's loss: the peers' numbers, closed forms, and parts against the whole."""

import math

import pytest
import torch

from dense_cl.losses.in_batch_contrast import in_batch_info_nce, nt_xent

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


@pytest.mark.parametrize("case", [1, 2])
def test_nt_xent_golden(golden, case):
    data = golden(f"simclr_ntxent_{case}")
    views = [torch.tensor(data[f"view{v}"], requires_grad=True) for v in (0, 1)]
    loss = nt_xent(*views, float(data["temperature"])).loss
    loss.backward()
    torch.testing.assert_close(loss.item(), float(data["expected_loss"]), rtol=1e-8, atol=0)
    for v in (0, 1):
        torch.testing.assert_close(
            views[v].grad, torch.tensor(data[f"expected_grad_view{v}"]), **CLOSE
        )


@pytest.mark.parametrize("case", [1, 2])
def test_moco_v3_golden(golden, case):
    data = golden(f"mocov3_contrastive_{case}")
    queries = [torch.tensor(data[f"query{v}"], requires_grad=True) for v in (1, 2)]
    keys = [torch.tensor(data[f"key{v}"]) for v in (1, 2)]
    temperature = float(data["temperature"])
    losses = [
        in_batch_info_nce(q, k, temperature).loss for q, k in zip(queries, keys[::-1], strict=True)
    ]
    sum(losses).backward()
    for loss, name in zip(losses, ("q1_k2", "q2_k1"), strict=True):
        torch.testing.assert_close(
            loss.item(), float(data[f"expected_loss_{name}"]), rtol=1e-8, atol=0
        )
    for v in (1, 2):
        expected = torch.tensor(data[f"expected_grad_query{v}"])
        torch.testing.assert_close(queries[v - 1].grad, expected, **CLOSE)


@pytest.mark.parametrize("images", [2, 5])
def test_features_that_tell_nothing_apart(images):
    same = torch.tensor([[3.0, 4.0]]).expand(images, 2)
    contrast = nt_xent(same, 2 * same, 0.5)
    assert contrast.loss.item() == pytest.approx(math.log(2 * images - 1), rel=1e-6)
    assert contrast.accuracy == 0 and contrast.positive_similarity.item() == pytest.approx(1)
    keys = in_batch_info_nce(same, same, 0.5)
    assert keys.loss.item() == pytest.approx(math.log(images), rel=1e-6)  # 2 T = 1
    assert keys.accuracy == 0


def test_orthogonal_images_closed_form():
    views = torch.eye(3).double()
    contrast = nt_xent(views, views, 0.5)
    assert contrast.loss.item() == pytest.approx(math.log(1 + 4 * math.exp(-2)), rel=1e-6)
    assert contrast.accuracy == 1
    keys = in_batch_info_nce(views, views, 0.1)
    assert keys.loss.item() == pytest.approx(0.2 * math.log(1 + 2 * math.exp(-10)), rel=1e-4)


def test_parts_of_a_batch_average_to_the_whole():
    torch.manual_seed(0)
    first, second = torch.randn(2, 6, 4).double()
    whole = nt_xent(first, second, 0.2)
    parts = [
        nt_xent(first[i : i + 3], second[i : i + 3], 0.2, first, second, offset=i) for i in (0, 3)
    ]
    for name in whole._fields:
        mean = sum(getattr(part, name) for part in parts) / 2
        torch.testing.assert_close(mean, getattr(whole, name))
    whole = in_batch_info_nce(first, second, 0.2)
    parts = [in_batch_info_nce(first[i : i + 3], second, 0.2, offset=i) for i in (0, 3)]
    for name in whole._fields:
        mean = sum(getattr(part, name) for part in parts) / 2
        torch.testing.assert_close(mean, getattr(whole, name))


def test_keys_get_no_gradient_and_half_precision_is_normalised_in_float32():
    query, key = torch.randn(2, 5, 4, dtype=torch.float64).requires_grad_().unbind()
    (gradient,) = torch.autograd.grad(
        in_batch_info_nce(query, key, 0.2).loss, key, allow_unused=True
    )
    assert gradient is None
    assert nt_xent(query.half(), key.half(), 0.2).loss.dtype == torch.float32


@pytest.mark.parametrize("loss", [nt_xent, in_batch_info_nce])
def test_autocast_does_not_reach_it(loss):
    first, second = torch.randn(2, 8, 32)
    expected = loss(first, second, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(first, second, 0.1)
    assert terms.loss.dtype == torch.float32
    torch.testing.assert_close(terms, expected, rtol=1e-6, atol=1e-6)
