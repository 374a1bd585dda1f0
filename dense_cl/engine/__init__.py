"""Running a recipe: runner, loop, data order, checkpoints, hooks. Importing registers them."""

from dense_cl.engine import amp, distributed, hooks, loop, runner

__all__ = ["amp", "distributed", "hooks", "loop", "runner"]
