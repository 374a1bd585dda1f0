"""What CAST's attention adds to the training step of MoCo v2.

    python benchmarks/cast_step.py                    # R50, batch 32, 224 px, layer4: minutes
    python benchmarks/cast_step.py --recipe small     # R18, batch 32, 96 px, layer3: seconds

Prints one JSON object. ``moco_v2`` is the recipe without its attention, ``attention`` the recipe,
``released_code`` the recipe with map and loss of the authors' code. All three are
``Learner.train_step`` as shipped and take turns, so that a busy machine slows them alike; medians
are compared. Saliency comes ready with the views, as from the cache.
"""

import argparse
import copy
import dataclasses
import json
import statistics
from typing import Any

import torch
from method_steps import our_step
from pretrain_step import Step, alternate, random_view

from dense_cl.engine.config import load_config
from dense_cl.models import Learner
from dense_cl.views.batch import ViewBatch

RECIPES = {
    "paper": "cast_resnet50_8xb32_cosine_200e_coco",
    "small": "cast_resnet18_1xb32_cosine_40e_voc_animals",
}


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="paper", choices=list(RECIPES))
    parser.add_argument("--layer", help="of the map, instead of the recipe's")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=None)
    args = parser.parse_args()
    torch.manual_seed(0)
    seconds = alternate(steps(args), args.repeats, args.device)
    result: dict[str, Any] = {
        "settings": vars(args) | {"threads": torch.get_num_threads(), "torch": torch.__version__},
        "wall_and_processor_seconds": seconds,
    }
    for clock, name in enumerate(["wall", "processor"][: 1 + (args.device == "cpu")]):
        median = {k: statistics.median(pair[clock] for pair in v) for k, v in seconds.items()}
        result[name] = {f"{k}_seconds": round(v, 4) for k, v in median.items()} | {
            f"{k}_over_moco_v2": round(v / median["moco_v2"], 3)
            for k, v in median.items()
            if k != "moco_v2"
        }
    print(json.dumps(result, indent=1))


def steps(args: argparse.Namespace) -> dict[str, Step]:
    """Return the three training steps, each with a learner of its own."""
    recipe = load_config(RECIPES[args.recipe])
    group = recipe.train_dataloader.dataset.views[0]
    views = [salient_view(args.batch, group.size[0], seed) for seed in range(group.count)]
    model = {key: value for key, value in recipe.model.to_dict().items() if key != "type"}
    contrast, attention = model.pop("objectives")
    if args.layer:
        attention["layer"] = args.layer
    lists = {
        "moco_v2": [contrast],
        "attention": [contrast, attention],
        "released_code": [contrast, attention | {"released_code": True}],
    }
    return {
        name: our_step(
            Learner(**copy.deepcopy(model), objectives=objectives).to(args.device), views, args
        )
        for name, objectives in lists.items()
    }


def salient_view(batch: int, side: int, seed: int) -> ViewBatch:
    """Return a view of noise in which a rectangle somewhere is salient."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(0, side // 2, (2, batch, 1), generator=generator)
    rows, columns = (start <= torch.arange(side)) & (torch.arange(side) < start + side // 2)
    saliency = rows[:, :, None] & columns[:, None]
    return dataclasses.replace(random_view(batch, side), saliency=saliency)


if __name__ == "__main__":
    main()
