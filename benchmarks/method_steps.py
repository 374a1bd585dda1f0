"""Step time of every method, beside lightly's and beside the encoder alone.

    python benchmarks/method_steps.py                        # R50, batch 32, 224 px: half an hour
    python benchmarks/method_steps.py --methods byol simclr  # some of them

Prints one JSON object. For each method these take turns, so that a busy machine slows them alike,
and medians are compared:

- ``ours``: ``Learner.train_step`` of the paper's recipe (its model; SGD for all), as shipped:
  channels_last, bfloat16 autocast where the processor has it;
- ``bare``: the same backbone over the same views, forward and backward (without gradients where the
  method uses its target network), and SGD;
- ``own``: the step with the encoders' outputs as they were in the first one, so without forward
  and backward of the encoders: heads, loss, EMA, preprocessing, and SGD of the heads' weights. The
  overhead is ``own`` / ``bare``; a difference of two long times would drown in noise;
- ``heads``: forward, backward and SGD of the projection head alone, where that is all that a method
  has beside its loss; what is left of the overhead without it is ``without_heads_percent``;
- ``lightly``: the method from the modules of lightly 1.6, in float32, as its benchmarks and
  examples have it, where it has the method and is installed.

Pixel- and region-level methods are also compared with an image-level one that has the same encoders
and views: ``over_base_percent`` is what a step takes longer than the base's, by ``bare`` + ``own``,
and ``step_over_base_percent`` by the whole steps, ``ours`` and ``base``, whose difference only a
machine without noise shows: a GPU. Regions come ready with the views, as from the cache.
"""

import argparse
import copy
import dataclasses
import json
import statistics
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from pretrain_step import Step, alternate, random_view
from torch import Tensor, nn

from dense_cl.engine.amp import apply_amp
from dense_cl.engine.config import load_config
from dense_cl.models import Learner
from dense_cl.models.features import FeatureBundle, ViewFeatures
from dense_cl.regions.regions import RegionBatch
from dense_cl.registry import OPTIM_WRAPPERS, VIEWS
from dense_cl.views.batch import ViewBatch

RECIPES = {
    "moco_v2": "moco_v2_resnet50_8xb32_cosine_200e_imagenet",
    "densecl": "densecl_resnet50_8xb32_cosine_200e_imagenet",
    "simclr": "simclr_resnet50_16xb256_cosine_1000e_imagenet",
    "moco_v3": "moco_v3_resnet50_16xb256_cosine_100e_imagenet",
    "byol": "byol_resnet50_16xb256_cosine_1000e_imagenet",
    "simsiam": "simsiam_resnet50_8xb64_cosine_100e_imagenet",
    "barlow_twins": "barlow_twins_resnet50_16xb128_cosine_1000e_imagenet",
    "vicreg": "vicreg_resnet50_16xb128_cosine_1000e_imagenet",
    "swav": "swav_resnet50_4xb64_cosine_200e_imagenet",
    "deepcluster_v2": "deepcluster_v2_resnet50_64xb64_cosine_800e_imagenet",
    "pixpro": "pixpro_resnet50_8xb128_cosine_100e_imagenet",
    "pixcontrast": "pixcontrast_resnet50_8xb128_cosine_100e_imagenet",
    "vicregl": "vicregl_resnet50_32xb64_cosine_300e_imagenet",
    "detcon_s": "detcon_s_resnet50_16xb256_cosine_300e_imagenet",
    "detcon_b": "detcon_b_resnet50_16xb256_cosine_300e_imagenet",
    "slotcon": "slotcon_resnet50_8xb64_cosine_800e_coco",
    "resim": "resim_resnet50_8xb32_cosine_200e_imagenet",
    "soco": "soco_resnet50_16xb128_cosine_100e_imagenet",
}
# The image-level method with the same encoders.
BASES = {
    "densecl": "moco_v2",
    "pixpro": "byol",
    "pixcontrast": "byol",
    "vicregl": "vicreg",
    "detcon_s": "simclr",
    "detcon_b": "byol",
    "slotcon": "byol",
    "resim": "moco_v2",
    "soco": "byol",
}
# Methods whose only layers are a projection head on the pooled views.
WITH_ONE_HEAD = ("simclr", "barlow_twins", "vicreg")
# DeepCluster v2 begins with k-means of as many images as it has clusters, once an epoch.
CLUSTERED_IMAGES = 3200
SGD = dict(lr=1e-4, momentum=0.9)  # small: noise is not to be learnt, and must not diverge


def main() -> None:
    """Measure the chosen methods, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--depth", type=int, default=50, help="of the ResNet")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--scale", type=float, default=1.0, help="of the views' side (1.0)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=None)
    args = parser.parse_args()
    torch.manual_seed(0)
    methods = {method: measure(method, args) for method in args.methods}
    settings = vars(args) | {"threads": torch.get_num_threads(), "torch": torch.__version__}
    print(json.dumps({"settings": settings, "methods": methods}, indent=1))


def measure(method: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return seconds of a step of ours, bare and lightly's, by wall and processor time."""
    learner, views = learner_and_views(method, args)
    steps: dict[str, Step] = {
        "ours": our_step(learner, views, args),
        "bare": bare_step(copy.deepcopy(learner), views, args),
        "own": own_step(copy.deepcopy(learner), views, args),
    }
    if method in WITH_ONE_HEAD:
        steps["heads"] = head_step(copy.deepcopy(learner), views, args)
    if method in BASES:
        steps["base_own"] = own_step(*learner_and_views(BASES[method], args), args)
        steps["base"] = our_step(*learner_and_views(BASES[method], args), args)
    if method in LIGHTLY and find_spec("lightly"):
        sizes = [view.view_size[0] for view in views]
        steps["lightly"] = lightly_step(LIGHTLY[method], sizes, args)
    seconds = alternate(steps, args.repeats, args.device)
    result: dict[str, Any] = {"wall_and_processor_seconds": seconds}
    for clock, name in enumerate(["wall", "processor"][: 1 + (args.device == "cpu")]):
        median = {k: statistics.median(pair[clock] for pair in v) for k, v in seconds.items()}
        result[name] = {f"{k}_seconds": round(v, 4) for k, v in median.items()}
        result[name]["overhead_percent"] = round(100 * median["own"] / median["bare"], 1)
        if "heads" in median:
            rest = median["own"] - median["heads"]
            result[name]["without_heads_percent"] = round(100 * rest / median["bare"], 1)
        if "base_own" in median:
            base = median["bare"] + median["base_own"]
            more = median["own"] - median["base_own"]
            result[name]["over_base_percent"] = round(100 * more / base, 1)
            longer = median["ours"] / median["base"] - 1
            result[name]["step_over_base_percent"] = round(100 * longer, 1)
        if "lightly" in median:
            result[name]["speedup_over_lightly"] = round(median["lightly"] / median["ours"], 2)
    return result


def learner_and_views(method: str, args: argparse.Namespace) -> tuple[Learner, list[ViewBatch]]:
    """Return the paper's model and random views of the sizes that it looks at."""
    recipe = load_config(RECIPES[method])
    groups = [VIEWS.build(dict(group)) for group in recipe.train_dataloader.dataset.views]
    sizes = [round(group.size[0] * args.scale) for group in groups for _ in range(group.count)]
    recipe.model.backbone.depth = args.depth
    learner = Learner(**{k: v for k, v in recipe.model.items() if k != "type"}).to(args.device)
    learner.total_steps = 1000  # for the schedules
    return learner, [with_regions(random_view(args.batch, size)) for size in sizes]


def with_regions(view: ViewBatch) -> ViewBatch:
    """Return the view with 16 squares as regions, as label map and as boxes."""
    batch, side = len(view.image), view.view_size[0]
    row = torch.arange(side) * 4 // side
    label_map = (4 * row[:, None] + row).to(torch.int16).expand(batch, side, side)
    corner = torch.cartesian_prod(torch.arange(4), torch.arange(4)).flip(1) * side / 4
    boxes = torch.cat([corner, corner + side / 4], dim=1).expand(batch, 16, 4)
    regions = RegionBatch(label_map.contiguous(), boxes.contiguous(), torch.ones(batch, 16))
    return dataclasses.replace(view, regions=regions)


def wrapper_of(module: nn.Module, args: argparse.Namespace) -> OptimWrapper:
    """Return SGD with the mixed precision that a run would have."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, **SGD)
    return OPTIM_WRAPPERS.build(
        dict(apply_amp({"type": "OptimWrapper"}, args.amp), optimizer=optimizer)
    )


def our_step(learner: Learner, views: Sequence[ViewBatch], args: argparse.Namespace) -> Step:
    """Return the training step as a run makes it."""
    wrapper = wrapper_of(learner, args)
    data = {"views": list(views), "index": torch.arange(args.batch)}
    learner.prepare(CLUSTERED_IMAGES, seed=0)
    for start in range(0, CLUSTERED_IMAGES if learner.observed_views else 0, args.batch):
        learner.observe(data | {"index": data["index"] + start})
    learner.before_epoch(0)
    return lambda: learner.train_step(data, wrapper)


def own_step(learner: Learner, views: Sequence[ViewBatch], args: argparse.Namespace) -> Step:
    """Return the training step without the encoders: their outputs are those of the first step."""
    encode, kept = learner.encode, []

    def replay(views: Sequence[ViewBatch], index: Tensor | None = None) -> FeatureBundle:
        if not kept:
            features = encode(views, index)
            online = {v: as_leaves(seen) for v, seen in features.online.items()}
            kept.append(dataclasses.replace(features, online=online))
        return kept[0]

    learner.encode = replay  # type: ignore[method-assign]
    return our_step(learner, views, args)


def head_step(learner: Learner, views: Sequence[ViewBatch], args: argparse.Namespace) -> Step:
    """Return forward and backward of the projection head over all views, and its SGD."""
    ready = learner.data_preprocessor({"views": list(views)}, training=True)["views"]
    ((_, objective),) = learner.named_objectives()
    wrapper = wrapper_of(objective.head, args)
    with torch.no_grad(), wrapper.optim_context(learner):
        pooled = [learner.backbone(ready[v].image)[-1].mean((2, 3)) for v in objective.online_views]

    def step() -> None:
        with wrapper.optim_context(learner):
            total = sum(objective.head(p.detach().requires_grad_()).float().mean() for p in pooled)
        wrapper.update_params(total)

    return step


def as_leaves(seen: ViewFeatures) -> ViewFeatures:
    """Return the features as tensors at which a backward pass ends."""
    stages = tuple(stage.detach().requires_grad_() for stage in seen.stages)
    token = None if seen.token is None else seen.token.detach().requires_grad_()
    return dataclasses.replace(seen, stages=stages, token=token)


def bare_step(learner: Learner, views: Sequence[ViewBatch], args: argparse.Namespace) -> Step:
    """Return forward and backward of the encoders alone, over the views that the method uses."""
    ready = learner.data_preprocessor({"views": list(views)}, training=True)["views"]
    objectives = [objective for _, objective in learner.named_objectives()]
    online = sorted({view for objective in objectives for view in objective.online_views})
    target = sorted({view for objective in objectives for view in objective.target_views})
    wrapper = wrapper_of(learner.backbone, args)
    images = [ready[view].image for view in online]
    if any(objective.joint_views for objective in objectives):
        sizes = dict.fromkeys(image.shape[-1] for image in images)
        images = [torch.cat([i for i in images if i.shape[-1] == size]) for size in sizes]

    def step() -> None:
        with wrapper.optim_context(learner):
            total = sum(learner.backbone(image)[-1].float().mean() for image in images)
            if learner.target is not None:
                for view in target:
                    learner.target(ready[view].image)
        wrapper.update_params(total)

    return step


def lightly_step(build: "Twin", sizes: Sequence[int], args: argparse.Namespace) -> Step:
    """Return a training step of lightly's version of a method, in float32."""
    import torchvision

    resnet = getattr(torchvision.models, f"resnet{args.depth}")()
    channels = resnet.fc.in_features
    resnet.fc = nn.Identity()
    images = [torch.randn(args.batch, 3, size, size, device=args.device) for size in sizes]
    parts, loss = build(resnet, channels)
    parts.to(args.device)
    trained = [p for p in parts.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, **SGD)

    def step() -> None:
        value = loss(images)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


# From a backbone and its channels: all modules, and the loss as a function of the views' images.
Loss = Callable[[list[Tensor]], Tensor]
Twin = Callable[[nn.Module, int], tuple[nn.Module, Loss]]


def lightly_moco(dense: bool) -> Twin:
    """MoCo v2, or DenseCL: queue, batch shuffle, momentum encoder."""

    def build(resnet: nn.Module, channels: int) -> tuple[nn.Module, Loss]:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import DenseCLProjectionHead, MoCoProjectionHead
        from lightly.models.utils import (
            batch_shuffle,
            batch_unshuffle,
            select_most_similar,
            update_momentum,
        )

        body = nn.Sequential(*list(resnet.children())[:-2])
        heads = [MoCoProjectionHead(channels, 2048, 128)]
        if dense:
            heads.append(DenseCLProjectionHead(channels, 2048, 128))
        online = nn.ModuleList([body, *heads])
        target = copy.deepcopy(online).requires_grad_(False)
        criteria = nn.ModuleList(
            NTXentLoss(temperature=0.2, memory_bank_size=(65536, 128)) for _ in heads
        )

        def encode(modules: nn.ModuleList, image: Tensor) -> tuple[Tensor, ...]:
            maps = modules[0](image)
            pooled = modules[1](maps.mean(dim=(2, 3)))
            if not dense:
                return (pooled,)
            cells = maps.flatten(2).transpose(1, 2)
            return pooled, modules[2](cells), cells

        def loss(images: list[Tensor]) -> Tensor:
            update_momentum(online, target, m=0.999)
            query = encode(online, images[0])
            with torch.no_grad():
                shuffled, order = batch_shuffle(images[1])
                key = [batch_unshuffle(k, order) for k in encode(target, shuffled)]
            value = criteria[0](query[0], key[0])
            if dense:
                matched = select_most_similar(query[2], key[2], key[1])
                value = 0.5 * value + 0.5 * criteria[1](
                    query[1].flatten(0, 1), matched.flatten(0, 1)
                )
            return value

        return nn.ModuleList([online, target, criteria]), loss

    return build


def lightly_joint(name: str, criterion: Callable[[], nn.Module]) -> Twin:
    """Methods that compare the projections of two views: SimCLR, Barlow Twins, VICReg."""

    def build(resnet: nn.Module, channels: int) -> tuple[nn.Module, Loss]:
        from lightly.models.modules import heads as modules

        width = {"SimCLRProjectionHead": (2048, 128)}.get(name, (8192, 8192))
        head = getattr(modules, name)(channels, *width)
        compare = criterion()

        def loss(images: list[Tensor]) -> Tensor:
            return compare(*(head(resnet(image)) for image in images))

        return nn.ModuleList([resnet, head]), loss

    return build


def lightly_ntxent() -> nn.Module:
    from lightly.loss import NTXentLoss

    return NTXentLoss(temperature=0.1)


def lightly_barlow() -> nn.Module:
    from lightly.loss import BarlowTwinsLoss

    return BarlowTwinsLoss()


def lightly_vicreg() -> nn.Module:
    from lightly.loss import VICRegLoss

    return VICRegLoss()


def lightly_byol(resnet: nn.Module, channels: int) -> tuple[nn.Module, Loss]:
    """BYOL: symmetric, with a momentum encoder."""
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
    from lightly.models.utils import update_momentum

    online = nn.Sequential(resnet, BYOLProjectionHead(channels, 4096, 256))
    target = copy.deepcopy(online).requires_grad_(False)
    predictor = BYOLPredictionHead(256, 4096, 256)
    cosine = NegativeCosineSimilarity()

    def loss(images: list[Tensor]) -> Tensor:
        update_momentum(online, target, m=0.996)
        predicted = [predictor(online(image)) for image in images]
        with torch.no_grad():
            wanted = [target(image) for image in images]
        return 2 * (cosine(predicted[0], wanted[1]) + cosine(predicted[1], wanted[0]))

    return nn.ModuleList([online, target, predictor]), loss


def lightly_simsiam(resnet: nn.Module, channels: int) -> tuple[nn.Module, Loss]:
    """SimSiam: symmetric, with a stopped gradient."""
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead

    online = nn.Sequential(resnet, SimSiamProjectionHead(channels, 2048, 2048))
    predictor = SimSiamPredictionHead(2048, 512, 2048)
    cosine = NegativeCosineSimilarity()

    def loss(images: list[Tensor]) -> Tensor:
        projected = [online(image) for image in images]
        predicted = [predictor(z) for z in projected]
        wanted = [z.detach() for z in projected]
        return 0.5 * (cosine(predicted[0], wanted[1]) + cosine(predicted[1], wanted[0]))

    return nn.ModuleList([online, predictor]), loss


def lightly_swav(resnet: nn.Module, channels: int) -> tuple[nn.Module, Loss]:
    """SwAV without a queue: every view through the backbone by itself."""
    from lightly.loss import SwaVLoss
    from lightly.models.modules import SwaVProjectionHead, SwaVPrototypes

    head, prototypes = SwaVProjectionHead(channels, 2048, 128), SwaVPrototypes(128, 3000)
    criterion = SwaVLoss()

    def loss(images: list[Tensor]) -> Tensor:
        prototypes.normalize()
        embeddings = [nn.functional.normalize(head(resnet(image)), dim=1) for image in images]
        scores = [prototypes(embedding) for embedding in embeddings]
        return criterion(scores[:2], scores[2:])

    return nn.ModuleList([resnet, head, prototypes]), loss


LIGHTLY: dict[str, Twin] = {
    "moco_v2": lightly_moco(dense=False),
    "densecl": lightly_moco(dense=True),
    "simclr": lightly_joint("SimCLRProjectionHead", lightly_ntxent),
    "byol": lightly_byol,
    "simsiam": lightly_simsiam,
    "barlow_twins": lightly_joint("BarlowTwinsProjectionHead", lightly_barlow),
    "vicreg": lightly_joint("VICRegProjectionHead", lightly_vicreg),
    "swav": lightly_swav,
}


if __name__ == "__main__":
    main()
