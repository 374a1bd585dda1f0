"""Loss curves of a tiny learner, one per method; ``loss_curves.json`` holds the committed ones.

    python tests/models/loss_curves.py METHOD ...   # print curves as JSON (all methods by default)
    python tests/models/loss_curves.py --write      # commit to them

A refactoring must leave them as they are, to the last bit. That holds from one processor to another
only with arithmetic that does not depend on it, so run them through ``curves``, which sets the
environment for a process of its own: no vector instructions that some processors lack, in PyTorch
(``ATEN_CPU_CAPABILITY``), MKL (``MKL_CBWR``) or glibc (``GLIBC_TUNABLES``), no oneDNN, one thread.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

STEPS = 60
FILE = Path(__file__).with_suffix(".json")
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "OMP_NUM_THREADS": "1",
    # Both spellings: glibc renamed them.
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2_Usable,-AVX2,-FMA_Usable,-FMA,-FMA4_Usable,-FMA4",
}


def curves(*methods: str) -> dict[str, list[float]]:
    """Run this file in a process with portable arithmetic."""
    command = [sys.executable, __file__, *methods]
    return json.loads(subprocess.check_output(command, text=True, env={**os.environ, **PORTABLE}))


def curve(method: str) -> list[float]:
    """Return the total loss of every step; four batches take turns."""
    import torch
    from learners import METHODS, begin, build_learner, random_data
    from mmengine.optim import OptimWrapper
    from region_learners import REGION_METHODS, region_data

    objectives = METHODS.get(method) or [REGION_METHODS[method]]
    learner = build_learner(*objectives).float()
    learner.total_steps = STEPS
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
    wrapper = OptimWrapper(optimizer)
    make = region_data if method in REGION_METHODS else random_data
    batches = [make(8, seed=seed) for seed in range(4)]
    for number, batch in enumerate(batches):
        batch["index"] += 8 * number
    begin(learner, *batches)
    losses = [learner.train_step(batches[n % 4], wrapper)["loss"] for n in range(STEPS)]
    return torch.stack(losses).tolist()


def main() -> None:
    import torch
    from learners import METHODS
    from region_learners import REGION_METHODS

    if sys.argv[1:] == ["--write"]:
        made = {"torch": torch.__version__.split("+")[0], "curves": curves()}
        FILE.write_text(json.dumps(made, indent=1) + "\n")
        return
    torch.set_num_threads(1)
    torch.backends.mkldnn.set_flags(False)
    print(
        json.dumps({method: curve(method) for method in sys.argv[1:] or METHODS | REGION_METHODS})
    )


if __name__ == "__main__":
    main()
