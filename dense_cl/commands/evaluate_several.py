"""Several backbones and seeds in one ``dense-cl evaluate``: a result for each, to be compared."""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dense_cl.errors import DenseCLError

_SEED, _TRAINED = "{seed}", "fine-tuning"


def each_run(args: argparse.Namespace) -> Iterator[argparse.Namespace]:
    """Yield the arguments of every run: one backbone, one seed, and a file of its own.

    ``{seed}`` in a backbone stands for every seed. So does ``random``; any other backbone is the
    same for all and is evaluated with the first, but for fine-tuning.

    Raises:
        DenseCLError: several seeds for nothing; several runs without a folder for their results,
            or with results of another command in it; or a backbone that cannot be loaded.
    """
    pairs = _pairs(args)
    if len(pairs) > 1:
        _check(args, pairs)
    for backbone, seed in pairs:
        out = args.out
        if len(pairs) > 1:
            out = str(_file(args, backbone, seed))
            print(f"== {backbone}, seed {seed}", flush=True)
        yield argparse.Namespace(**vars(args) | {"backbone": backbone, "seed": seed, "out": out})


def _file(args: argparse.Namespace, backbone: str, seed: int) -> Path:
    """Return where a result goes: named for people, and by a hash of the whole path."""
    words = re.findall(r"[\w.-]+", "/".join(Path(backbone).parts[-2:]))
    digest = hashlib.sha256(backbone.encode()).hexdigest()[:6]
    return (
        Path(args.out).expanduser()
        / args.task
        / f"{'-'.join(words)[-80:]}_{digest}_seed{seed}.json"
    )


def _pairs(args: argparse.Namespace) -> list[tuple[str, int]]:
    def seeds(backbone: str) -> Sequence[int]:
        random = backbone.partition(":")[0] == "random"
        # Of a head that is trained, too, with everything.
        return args.seed if random or _SEED in backbone or args.task == _TRAINED else args.seed[:1]

    if len(args.seed) > 1 and all(len(seeds(backbone)) == 1 for backbone in args.backbone):
        raise DenseCLError(
            f"--seed {' '.join(map(str, args.seed))}: '{args.backbone[0]}' is the same for all of"
            f" them. Write {_SEED} where its name has the seed, or give one."
        )
    pairs = [(b.replace(_SEED, str(seed)), seed) for b in args.backbone for seed in seeds(b)]
    return list(dict.fromkeys(pairs))


def _check(args: argparse.Namespace, pairs: Sequence[tuple[str, int]]) -> None:
    """Say before any work what could stop one of the runs."""
    from dense_cl.evaluation.frozen import FrozenBackbone

    if not args.out or Path(args.out).suffix == ".json":
        raise DenseCLError(
            f"{len(pairs)} backbones and seeds need --out DIR, a folder for a result of each; then"
            " 'dense-cl compare DIR' says what differs."
        )
    if getattr(args, "report", None):
        raise DenseCLError("--report is a page of one backbone and seed; leave it out.")
    for backbone, seed in pairs:
        file = _file(args, backbone, seed)
        if file.exists() and json.loads(file.read_text()).get("command") != args.command_line:
            raise DenseCLError(
                f"'{file}' is of another command. Delete it, or choose another --out; features that"
                " are kept are used again."
            )
        FrozenBackbone.load(backbone, seed)
