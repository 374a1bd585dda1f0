"""Start ``torch.distributed`` from any of MMEngine's launchers, with or without GPUs."""

import os
import subprocess
from typing import Any

import torch
from mmengine.dist import all_reduce, is_distributed

from dense_cl.errors import DenseCLError, nearest

# Where each launcher tells a process its place. MMEngine reads the same, but then selects a
# GPU, which fails on machines that have none.
_PLACES = {
    "pytorch": {"RANK": "RANK", "WORLD_SIZE": "WORLD_SIZE", "LOCAL_RANK": "LOCAL_RANK"},
    "slurm": {
        "RANK": "SLURM_PROCID",
        "WORLD_SIZE": "SLURM_NTASKS",
        "LOCAL_RANK": "SLURM_LOCALID",
    },
    "mpi": {
        "RANK": "OMPI_COMM_WORLD_RANK",
        "WORLD_SIZE": "OMPI_COMM_WORLD_SIZE",
        "LOCAL_RANK": "OMPI_COMM_WORLD_LOCAL_RANK",
    },
}


def init_distributed(launcher: str, backend: str | None = None, **options: Any) -> None:
    """Join the process group: NCCL on GPUs, gloo on CPUs.

    Args:
        launcher: ``pytorch``, ``slurm`` or ``mpi``.
        backend: overrides the choice.
        **options: of ``torch.distributed.init_process_group``.

    Raises:
        DenseCLError: no such launcher, or its environment variables are missing.
    """
    if launcher not in _PLACES:
        raise DenseCLError(f"there is no launcher '{launcher}'.{nearest(launcher, _PLACES)}")
    for name, source in _PLACES[launcher].items():
        if source not in os.environ:
            raise DenseCLError(
                f"--launcher {launcher} needs the environment variable {source}; start the run "
                "with tools/dist_train.sh (pytorch), tools/slurm_train.sh (slurm) or mpirun."
            )
        os.environ[name] = os.environ[source]
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_node() if launcher == "slurm" else "127.0.0.1"
    os.environ.setdefault("MASTER_PORT", "29500")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    default = "nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend or default, **options)


def world_size(launcher: str) -> int:
    """Return how many processes a launcher has started, before they know each other."""
    return int(os.environ.get(_PLACES.get(launcher, {}).get("WORLD_SIZE", ""), 1))


def rank(launcher: str) -> int:
    """Return which of the processes of a launcher this is, before they know each other."""
    return int(os.environ.get(_PLACES.get(launcher, {}).get("RANK", ""), 0))


def _first_node() -> str:
    nodes = os.environ.get("SLURM_NODELIST", "localhost")
    command = ["scontrol", "show", "hostnames", nodes]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]


def agree(*values: int) -> list[int]:
    """Return the element-wise maximum over all ranks, so that they decide alike."""
    if not is_distributed():
        return list(values)
    tensor = torch.tensor(values, dtype=torch.int64)
    all_reduce(tensor, "max")
    return tensor.tolist()
