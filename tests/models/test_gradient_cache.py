"""Encoding in chunks gives the gradients of the whole batch, one chunk in memory at a time."""

import pytest
import torch
from learners import IMAGE_METHODS, METHODS, TwoConvolutions, begin, build_learner, random_data
from mmengine.optim import OptimWrapper
from torch import nn

from dense_cl.errors import DenseCLError
from dense_cl.models.gradient_cache import encode_in_chunks


def gradients(learner, data):
    begin(learner, data)
    losses = learner(**learner.data_preprocessor(data, True))
    total, _ = learner.parse_losses(losses)
    total.backward()
    return total.detach(), {n: p.grad for n, p in learner.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("chunk_size", [1, 3, 8, 20])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_the_whole_batch(method, chunk_size):
    """Float64; GroupNorm in the backbone, batch statistics only in the heads, which see it all."""
    data = random_data(8)
    loss, expected = gradients(build_learner(*METHODS[method], norm="GN"), data)
    mine = gradients(build_learner(*METHODS[method], norm="GN", chunk_size=chunk_size), data)
    torch.testing.assert_close(mine[0], loss, rtol=1e-12, atol=0)
    for name, gradient in expected.items():
        torch.testing.assert_close(mine[1][name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_training_steps_are_those_of_the_whole_batch():
    states = []
    for options in ({}, {"chunk_size": 3}):
        learner = build_learner(IMAGE_METHODS["moco_v3"], norm="GN", **options)
        wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.05, momentum=0.9))
        for step in range(4):
            learner.train_step(random_data(8, seed=step), wrapper)
        states.append(learner.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-9, atol=1e-12, msg=name)


class Recorder(nn.Module):
    """Says when images pass forward, and when their gradient passes back."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.events = []

    def forward(self, rows):
        self.events.append(f"forward {len(rows)}")
        out = self.layer(rows).tanh()
        if out.requires_grad:
            out.register_hook(lambda _: self.events.append("backward"))
        return (out,)


def test_one_chunk_at_a_time_is_run_again_and_used():
    network = Recorder()
    (out,) = encode_in_chunks(network, network, torch.randn(5, 4), 2)
    assert network.events == ["forward 2", "forward 2", "forward 1"]
    network.events.clear()
    out.square().sum().backward()
    # The hooks of the first run, whose graph it is, tell when a chunk's gradient arrives.
    assert network.events == [
        "backward", "forward 1", "backward", "forward 2", "backward", "forward 2",
    ]  # fmt: skip


def test_without_gradients_nothing_is_run_again():
    network = Recorder()
    with torch.no_grad():
        (out,) = encode_in_chunks(network, network, torch.randn(5, 4), 2)
    assert network.events == ["forward 2", "forward 2", "forward 1"] and not out.requires_grad


def by_hand(network, image, chunk_size):
    return torch.cat([network(chunk)[-1] for chunk in image.split(chunk_size)])


@pytest.mark.parametrize("autocast", [False, True])
def test_random_numbers_and_precision_are_replayed(autocast):
    """Equal bit for bit to chunks whose activations are kept."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 4, 4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8 * 64, 5)
    )
    image = torch.randn(6, 3, 32, 32)
    results = []
    for cached in (False, True):
        torch.manual_seed(3)
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            if cached:
                (out,) = encode_in_chunks(network, lambda x: (network(x),), image, 2)
            else:
                out = torch.cat([network(chunk) for chunk in image.split(2)])
            loss = out.float().logsumexp(dim=1).sum()
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in network.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_batch_norm_has_chunk_statistics_and_records_them_once():
    torch.manual_seed(0)
    image = torch.randn(6, 3, 16, 16, dtype=torch.float64)
    networks = []
    for cached in (False, True):
        torch.manual_seed(1)
        network = TwoConvolutions("BN").double()
        if cached:
            out = encode_in_chunks(network, network, image, 2)[-1]
        else:
            out = by_hand(network, image, 2)
        out.square().mean().backward()
        networks.append(network)
    kept, again = networks
    for name, value in kept.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    for mine, other in zip(kept.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-12, atol=1e-14)
    norms = [m for m in again.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(m.momentum == 0.1 and m.num_batches_tracked == 3 for m in norms)


def test_impossible_size_is_refused():
    with pytest.raises(DenseCLError, match="model.chunk_size is 0"):
        build_learner(IMAGE_METHODS["simclr"], chunk_size=0)
