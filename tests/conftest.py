"""Fixtures for every test: the shared reference material, and one thread for repeatable sums."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

_SHARED = Path(__file__).resolve().parents[2] / "shared"

# How long examples take is the machine's; a test that times anything says so itself.
# The same examples every time: a failure that comes and goes says nothing of a change.
settings.register_profile(
    "repeated", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeated")
# Tests are small: threads cost more than they bring, and change the order of sums.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """Return a loader of reference vectors by name, ``golden("moco_infonce_1")``."""

    def load(name: str) -> dict[str, np.ndarray]:
        file = _SHARED / "golden" / f"{name}.npz"
        if not file.is_file():
            pytest.skip(f"no reference vectors at {file}")
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive)

    return load


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a finder of real data by name, ``shared_data("voc_animals")``."""

    def find(name: str) -> Path:
        folder = _SHARED / "data" / name
        if not folder.exists():
            pytest.skip(f"no real data at {folder}")
        return folder

    return find
