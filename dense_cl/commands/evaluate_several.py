"""Several backbones and seeds in one ``dense-cl evaluate``: a result for each, to be compared."""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dense_cl.errors import DenseCLError

_SEED = "{seed}"


def each_run(args: argparse.Namespace) -> Iterator[argparse.Namespace]:
    """Yield the arguments of every run: one backbone, one seed, and a file of its own.

    ``{seed}`` in a backbone stands for every seed. So does ``random``; any other backbone is the
    same for all and is evaluated with the first.

    Raises:
        DenseCLError: several runs without a folder for their results, or a backbone among them
            that cannot be loaded.
    """
    pairs = _pairs(args.backbone, args.seed)
    if len(pairs) > 1:
        _check(args, pairs)
    for backbone, seed in pairs:
        out = args.out
        if len(pairs) > 1:
            name = re.sub(r"[^\w.-]+", "-", backbone).strip("-.")
            out = str(Path(args.out) / args.task / f"{name}_seed{seed}.json")
            print(f"== {backbone}, seed {seed}", flush=True)
        yield argparse.Namespace(**vars(args) | {"backbone": backbone, "seed": seed, "out": out})


def _pairs(backbones: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    pairs = [
        (backbone.replace(_SEED, str(seed)), seed)
        for backbone in backbones
        for seed in (seeds if _SEED in backbone or _is_random(backbone) else seeds[:1])
    ]
    return list(dict.fromkeys(pairs))


def _is_random(backbone: str) -> bool:
    return backbone.partition(":")[0] == "random"


def _check(args: argparse.Namespace, pairs: Sequence[tuple[str, int]]) -> None:
    """Say before any work what could stop one of the runs."""
    from dense_cl.evaluation.frozen import FrozenBackbone

    if not args.out or Path(args.out).suffix == ".json":
        raise DenseCLError(
            f"{len(pairs)} backbones and seeds need --out DIR, a folder for a result of each; then"
            " 'dense-cl compare DIR' says what differs."
        )
    for backbone, seed in pairs:
        FrozenBackbone.load(backbone, seed)
