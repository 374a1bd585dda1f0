"""The dense loss: the authors' numbers, and a loop over locations."""

import pytest
import torch
import torch.nn.functional as F

from dense_cl.losses.dense_info_nce import dense_info_nce, gather_locations


@pytest.mark.parametrize("case", [1, 2])
def test_golden(golden, case):
    data = golden(f"densecl_loss_{case}")
    query = torch.tensor(data["dense_query_raw"], requires_grad=True)
    loss = dense_info_nce(
        query,
        torch.tensor(data["dense_key_raw"]),
        torch.tensor(data["expected_correspondence_index"]),
        torch.tensor(data["queue2"]).T,
        float(data["temperature"]),
    ).loss
    (float(data["loss_lambda"]) * loss).backward()
    expected = float(data["expected_loss_dense_unweighted"])
    torch.testing.assert_close(loss.item(), expected, rtol=1e-8, atol=0)
    gradient = torch.tensor(data["expected_grad_dense_query_raw"])
    torch.testing.assert_close(query.grad, gradient, rtol=1e-8, atol=1e-12)


def test_equals_a_loop_over_locations():
    torch.manual_seed(0)
    batch, channels, queries, keys = 2, 3, 4, 6
    query = torch.randn(batch, channels, queries).double()
    key = torch.randn(batch, channels, keys).double()
    negatives = F.normalize(torch.randn(5, channels)).double()
    indices = torch.randint(keys, (batch, queries))
    valid = torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0]], dtype=torch.bool)
    losses = []
    for b in range(batch):
        for s in range(queries):
            q = F.normalize(query[b, :, s], dim=0)
            k = F.normalize(key[b, :, indices[b, s]], dim=0)
            logits = torch.cat([(q @ k)[None], negatives @ q]) / 0.2
            losses.append(-logits.log_softmax(0)[0])
    expected = (torch.stack(losses) * valid.flatten()).sum() / 4
    mine = dense_info_nce(query, key, indices, negatives, 0.2, valid).loss
    torch.testing.assert_close(mine, expected)


def test_gather_locations():
    maps = torch.arange(2 * 3 * 4).reshape(2, 3, 4)
    indices = torch.tensor([[3, 0], [1, 1]])
    picked = gather_locations(maps, indices)
    assert picked[0].tolist() == [[3, 0], [7, 4], [11, 8]]
    assert picked[1].tolist() == [[13, 13], [17, 17], [21, 21]]
