"""Step time of every small recipe of the transfer table. See docs/results.md.

    python benchmarks/recipe_steps.py                         # on a machine with nothing else to do
    python benchmarks/recipe_steps.py --methods moco_v2 densecl

Prints one JSON object: seconds of a training step of 32 images, wall and processor, medians, and
images per second. The models take turns, as in ``method_steps.py``. Images are in memory, and
regions and salient pixels come ready with them.
"""

import argparse
import dataclasses
import json
import statistics

import torch
from method_steps import our_step, with_regions
from pretrain_step import Step, alternate, random_view
from transfer_table import MINED_WITH, MULTI_CROP, RECIPES

from dense_cl.engine.config import load_config
from dense_cl.models import Learner
from dense_cl.registry import VIEWS
from dense_cl.views.batch import ViewBatch

# The third stage of ORL has views of other images, cut out by what the second has found.
METHODS = [name for name, recipe in RECIPES.items() if recipe and name not in MINED_WITH]
TOGETHER = 4  # models in memory at a time


def main() -> None:
    """Measure the chosen recipes, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=None)
    args = parser.parse_args()
    torch.manual_seed(0)
    methods = {}
    for start in range(0, len(args.methods), TOGETHER):
        steps = {m: step_of(m, args) for m in args.methods[start : start + TOGETHER]}
        seconds = alternate(steps, args.repeats, args.device)
        for method, pairs in seconds.items():
            wall, processor = (statistics.median(p[clock] for p in pairs) for clock in (0, -1))
            methods[method] = {
                "wall_seconds": round(wall, 4),
                "processor_seconds": round(processor, 4),
                "images_per_second": round(args.batch / wall, 1),
            }
    settings = vars(args) | {"threads": torch.get_num_threads(), "torch": torch.__version__}
    print(json.dumps({"settings": settings, "methods": methods}, indent=1))


def step_of(method: str, args: argparse.Namespace) -> Step:
    """Return a training step of a recipe of the transfer table."""
    recipe = load_config(RECIPES[method])
    groups = recipe.train_dataloader.dataset.views
    if method in MULTI_CROP:
        groups = load_config(RECIPES["moco_v2"]).train_dataloader.dataset.views
        recipe.model.objectives[0].num_views = 2
    groups = [VIEWS.build(dict(group)) for group in groups]
    learner = Learner(**{k: v for k, v in recipe.model.items() if k != "type"}).to(args.device)
    learner.total_steps = 1000  # for the schedules
    views = [view(args.batch, group.size[0]) for group in groups for _ in range(group.count)]
    return our_step(learner, views, args)


def view(batch: int, size: int) -> ViewBatch:
    """Return random images with regions, and with a salient square in the middle."""
    salient = torch.zeros(batch, size, size, dtype=torch.bool)
    salient[:, size // 4 : -size // 4, size // 4 : -size // 4] = True
    return dataclasses.replace(with_regions(random_view(batch, size)), saliency=salient)


if __name__ == "__main__":
    main()
