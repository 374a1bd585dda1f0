"""Two gloo processes with parts of a batch are one process with the whole, for region methods."""

import pytest
import region_processes
import torch
import torch.multiprocessing
from test_distributed import same_training


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("region_processes"))
    torch.multiprocessing.spawn(region_processes.run, (folder,), nprocs=2)
    return [torch.load(f"{folder}/rank{rank}.pth", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize(("method", "norm"), region_processes.CASES)
def test_equals_one_process(ranks, method, norm):
    expected = region_processes.whole(region_processes.REGION_METHODS[method], norm)
    same_training(expected, [rank[f"{method}_{norm}"] for rank in ranks])


@pytest.mark.parametrize("method", region_processes.UNEVEN)
def test_uneven_batches_equal_one_process(ranks, method):
    expected = region_processes.whole(region_processes.UNEVEN[method], "SyncBN")
    same_training(expected, [rank[f"{method}_uneven"] for rank in ranks])
