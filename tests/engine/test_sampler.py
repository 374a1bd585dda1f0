"""The order of the data: complete, without overlap, and enterable anywhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.engine.sampler import EpochSampler
from dense_cl.errors import DenseCLError

SHAPES = dict(
    length=st.integers(2, 60),
    batch_size=st.integers(1, 9),
    world_size=st.integers(1, 4),
    seed=st.integers(0, 5),
    drop_last=st.booleans(),
)


def sampler(length: int, batch_size: int, world_size: int, **options) -> EpochSampler | None:
    try:
        return EpochSampler(length, batch_size, world_size=world_size, **options)
    except DenseCLError:
        rest = length % (batch_size * world_size)
        assert length < batch_size * world_size
        assert options["drop_last"] or rest < 2 * world_size
        return None


def epochs(instance: EpochSampler, count: int) -> list[list[list[tuple[int, int]]]]:
    instance.total = count * len(instance)
    batches = list(instance)
    return [batches[e * len(instance) : (e + 1) * len(instance)] for e in range(count)]


@settings(max_examples=60)
@given(**SHAPES)
def test_ranks_share_an_epoch_without_overlap(length, batch_size, world_size, seed, drop_last):
    shards = []
    for rank in range(world_size):
        one = sampler(length, batch_size, world_size, seed=seed, drop_last=drop_last, rank=rank)
        if one is None:
            return
        shards.append(epochs(one, 2))
    for epoch in range(2):
        keys = [key for shard in shards for batch in shard[epoch] for key in batch]
        assert {e for e, _ in keys} == {epoch}
        indices = [index for _, index in keys]
        assert len(set(indices)) == len(indices)
        left_out = length - len(indices)
        assert left_out < (batch_size * world_size if drop_last else 3 * world_size)
        for batches in zip(*(shard[epoch] for shard in shards), strict=True):
            assert len({len(batch) for batch in batches}) == 1


@settings(max_examples=60)
@given(**SHAPES, data=st.data())
def test_starting_anywhere_gives_the_tail(length, batch_size, world_size, seed, drop_last, data):
    whole = sampler(length, batch_size, world_size, seed=seed, drop_last=drop_last)
    if whole is None:
        return
    whole.total = 3 * len(whole) - 1
    batches = list(whole)
    position = data.draw(st.integers(0, len(batches)))
    resumed = EpochSampler(length, batch_size, seed, 0, world_size, drop_last)
    resumed.start, resumed.total = position, whole.total
    assert list(resumed) == batches[position:]


def test_global_batches_do_not_depend_on_the_number_of_processes():
    one = EpochSampler(50, 8, seed=3)
    halves = [EpochSampler(50, 4, seed=3, rank=rank, world_size=2) for rank in range(2)]
    joined = [a + b for a, b in zip(*(epochs(half, 1)[0] for half in halves), strict=True)]
    assert epochs(one, 1)[0] == joined


def test_seed_and_epoch_each_change_the_order():
    first, second = epochs(EpochSampler(40, 40, seed=0), 2)
    other = epochs(EpochSampler(40, 40, seed=1), 2)
    orders = [[index for _, index in batch[0]] for batch in (first, second, *other)]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == list(range(40)) for order in orders)


def test_too_few_images_are_refused():
    with pytest.raises(DenseCLError, match="at least 16 images, but the data set has 15"):
        EpochSampler(15, 8, world_size=2)
