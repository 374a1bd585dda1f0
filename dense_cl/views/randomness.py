"""Random generators that depend on a key and on nothing else."""

import hashlib
import random

import numpy as np

_MASK = (1 << 128) - 1


def random_from(*key: int) -> random.Random:
    """A generator for this key, such as (seed, epoch, index, group).

    The state is a hash of the key, so that neighbouring keys are as unrelated as any two.
    """
    return random.Random(_digest(key))


def generators_from(*key: int) -> tuple[random.Random, np.random.Generator]:
    """Both kinds of generator that albumentations draws from, for this key."""
    return random_from(*key), np.random.Generator(_pcg64(_digest(key)))


def _digest(key: tuple[int, ...]) -> int:
    text = ",".join(str(int(part)) for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=32).digest(), "big")


def _pcg64(digest: int) -> np.random.PCG64:
    # The hash is the state: numpy's own seeding would take longer than most transforms.
    bits = np.random.PCG64(0)
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": digest & _MASK, "inc": (digest >> 128) | 1},
        "has_uint32": 0,
        "uinteger": 0,
    }
    return bits
