"""The two objectives together, on features given from outside: the authors' DenseCL step."""

import pytest
import torch
from torch import nn

from dense_cl.models.features import FeatureBundle, ViewFeatures
from dense_cl.objectives import DenseInfoNCE, InfoNCE
from dense_cl.views.batch import ViewBatch


class Recorded(nn.Module):
    """A head that ignores its input and gives the recorded projection."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(output)

    def forward(self, _map: torch.Tensor) -> torch.Tensor:
        return self.output


def replay(objective, data, query, key, queue, pointer):
    """Put the recorded projections and queue into an objective."""
    objective.head = Recorded(query)
    objective.target_head.network = Recorded(key)
    objective.bank.double().keys.copy_(torch.tensor(data[queue]).T)
    objective.bank.pointer.fill_(int(data[pointer]))
    return objective


@pytest.mark.parametrize("case", [1, 2])
def test_golden(golden, case):
    data = golden(f"densecl_loss_{case}")
    t = {name: torch.tensor(value) for name, value in data.items()}
    batch, channels, *grid = t["backbone_query"].shape
    queue, out = data["queue"].shape[1], data["queue"].shape[0]
    options = {"queue_size": queue, "temperature": float(data["temperature"])}
    head = {"hidden_channels": 2, "out_channels": out}
    single = replay(
        InfoNCE((channels,), dict(head, type="MLPHead"), **options),
        data, t["global_query_raw"], t["global_key_raw"], "queue", "queue_ptr",
    )  # fmt: skip
    dense_query, dense_key = (
        t[f"dense_{name}_raw"].view(batch, out, *grid) for name in ("query", "key")
    )
    dense = replay(
        DenseInfoNCE((channels,), dict(head, type="DenseMLPHead"), **options),
        data, dense_query, dense_key, "queue2", "queue2_ptr",
    )  # fmt: skip
    matrix = torch.eye(3, dtype=torch.float64)[:2].repeat(batch, 1, 1)
    view = ViewBatch(torch.empty(0), matrix, torch.ones(batch, 2), (1, 1))
    features = FeatureBundle(
        online={0: ViewFeatures((t["backbone_query"],), view)},
        target={1: ViewFeatures((t["backbone_key"],), view)},
    )
    ratio = float(data["loss_lambda"])
    terms = single(features).loss, dense(features).loss
    total = (1 - ratio) * terms[0] + ratio * terms[1]
    total.backward()
    close = {"rtol": 1e-8, "atol": 1e-12}
    torch.testing.assert_close(terms[0].detach(), t["expected_loss_single_unweighted"], **close)
    torch.testing.assert_close(terms[1].detach(), t["expected_loss_dense_unweighted"], **close)
    torch.testing.assert_close(total.detach(), t["expected_loss_total"], **close)
    torch.testing.assert_close(
        single.head.output.grad, t["expected_grad_global_query_raw"], **close
    )
    gradient = dense.head.output.grad.flatten(2)
    torch.testing.assert_close(gradient, t["expected_grad_dense_query_raw"], **close)
    for objective, name in ((single, "queue"), (dense, "queue2")):
        before = objective.bank.keys.clone()
        assert torch.equal(before, t[name].T)  # the loss left no trace
        objective.after_step()
        torch.testing.assert_close(objective.bank.keys, t[f"expected_{name}_after"].T, **close)
        assert objective.bank.pointer == t[f"expected_{name}_ptr_after"]
        objective.after_step()  # nothing new to commit
        assert objective.bank.pointer == t[f"expected_{name}_ptr_after"]
