"""Two gloo processes with half the batch each are one process with the whole."""

import pytest
import torch
import torch.multiprocessing
import two_processes

NEAR = {"rtol": 1e-9, "atol": 1e-11}  # float64


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("two_processes"))
    torch.multiprocessing.spawn(two_processes.run, (folder,), nprocs=2)
    return [torch.load(f"{folder}/rank{rank}.pth", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize(("method", "norm"), two_processes.CASES)
def test_equals_one_process(ranks, method, norm):
    same_training(two_processes.whole(method, norm), [r[f"{method}_{norm}"] for r in ranks])


@pytest.mark.parametrize("method", two_processes.CACHED)
def test_in_chunks_equals_one_process_with_the_whole_batch(ranks, method):
    same_training(two_processes.whole(method, "GN"), [r[f"{method}_cached"] for r in ranks])


@pytest.mark.parametrize("method", two_processes.CROPPED)
def test_a_process_with_fewer_matches_has_less_say(ranks, method):
    """The second views of the first two images overlap less: few of their places count."""
    first, second = (rank[f"{method}_crops"] for rank in ranks)
    assert not torch.allclose(first["losses"][0], second["losses"][0])
    same_training(two_processes.whole(method, "SyncBN", crops=True), [first, second])


def same_training(expected, both):
    first, second = both
    for step, loss in enumerate(expected["losses"]):
        mean = (first["losses"][step] + second["losses"][step]) / 2
        torch.testing.assert_close(mean, loss, **NEAR)
    for mine in (first, second):
        assert mine["gradients"].keys() == expected["gradients"].keys()
        for name, gradient in expected["gradients"].items():
            torch.testing.assert_close(mine["gradients"][name], gradient, **NEAR, msg=name)
        for name, value in expected["state"].items():  # weights, EMA, statistics, banks, step
            torch.testing.assert_close(mine["state"][name], value, **NEAR, msg=name)


def test_uneven_batches(ranks):
    """3 and 1 images: the first keys and all statistics are those of the whole batch."""
    first, second = (rank["uneven"]["state"] for rank in ranks)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, **NEAR, msg=name)
    expected = two_processes.whole("densecl", "SyncBN")["state"]
    for name in ("objectives.info_nce.bank.keys", "objectives.dense_info_nce.bank.keys"):
        first_step = slice(2, 4)  # 12 keys went through 10 rows, the last two over rows 0 and 1
        torch.testing.assert_close(first[name][first_step], expected[name][first_step], **NEAR)
    assert first["objectives.info_nce.bank.pointer"] == expected["objectives.info_nce.bank.pointer"]


def test_per_process_batch_norm_keeps_ranks_in_step(ranks):
    """Only running statistics may differ, as in PyTorch; weights and banks may not."""
    first, second = (rank["plain_bn"]["state"] for rank in ranks)
    different = {n for n, v in first.items() if not torch.equal(v, second[n])}
    assert different and all(".running_" in name for name in different)


def test_shuffle_mixes_ranks_and_comes_back(ranks):
    first, second = (rank["shuffle"] for rank in ranks)
    for side in (first, second):
        assert torch.equal(side["back"], side["mine"])
        assert len(side["there"]) == len(side["mine"])
        assert not torch.equal(side["there"], side["mine"])
    seen = torch.cat([first["there"], second["there"]])[:, 0, 0, 0]
    given = torch.cat([first["mine"], second["mine"]])[:, 0, 0, 0]
    assert sorted(seen.tolist()) == given.tolist()
    assert (first["there"] >= 100).any()  # an image of the other rank


def test_gather_with_an_empty_rank(ranks):
    for rank in ranks:
        assert rank["gather"].tolist() == [[1.0], [1.0]]
