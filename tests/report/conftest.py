"""Result files to compare."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Write = Callable[..., Path]
SETTINGS = {"size": 96, "images": {"test": 60}}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a writer of result files with records by image."""

    def result(
        method: str, seed: int, values: np.ndarray, task: str = "classification", **more: Any
    ) -> Path:
        folder = tmp_path / f"{method}_seed{seed}"
        folder.mkdir(exist_ok=True)
        content = {
            "task": task,
            "backbone": str(folder / "backbone.pth"),
            "seed": seed,
            "scores": {"knn": float(np.mean(values)), "linear": 0.5},
            "records": [{"image": f"{i}.jpg", "knn": float(v)} for i, v in enumerate(values)],
            "settings": SETTINGS | {"seed": seed},
            "versions": {"dense_cl": "1.0"},
            "command": f"dense-cl evaluate {task} --seed {seed}",
        }
        file = folder / f"{task}.json"
        file.write_text(json.dumps(content | more))
        return file

    return result


@pytest.fixture
def runs(write: Write) -> list[str]:
    """Three seeds of a control, of one just as good, and of one that is better by 0.4."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.4, 0.05, 60)
    shifts = {"control": 0.0, "same": 0.0, "better": 0.4}
    return [
        str(write(method, seed, base + shift + rng.normal(0, 0.05, 60)))
        for method, shift in shifts.items()
        for seed in range(3)
    ]
