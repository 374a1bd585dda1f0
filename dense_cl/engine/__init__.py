"""Running a recipe: runner, loop, data order, checkpoints, hooks. Importing registers them."""

from dense_cl.engine import (
    amp,
    distributed,
    hooks,
    lars,
    loop,
    no_vector_decay,
    runner,
    warmup_cosine,
)

__all__ = [
    "amp",
    "distributed",
    "hooks",
    "lars",
    "loop",
    "no_vector_decay",
    "runner",
    "warmup_cosine",
]
