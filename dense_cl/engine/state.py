"""Everything a run must remember to go on as if it had never stopped."""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import mmengine
import numpy as np
import torch
import torchvision
from mmengine.dist import all_gather_object, get_rank

import dense_cl
from dense_cl.errors import DenseCLError
from dense_cl.models.heads import MLPHead
from dense_cl.models.layers import describe_layers
from dense_cl.registry import HOOKS

if TYPE_CHECKING:
    from dense_cl.engine.runner import PretrainRunner

# Parts of a recipe that decide the weights; a resumed run must agree on them.
_DECISIVE = (
    "model", "train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg", "auto_scale_lr",
    "randomness",
)  # fmt: skip
# ... but for these, which only change the speed. Source and pairs are compared by fingerprint.
_PLACES = ("annotations", "file", "root", "weights")  # of regions and saliency, likewise
_FREE = ("num_workers", "prefetch_factor", "pin_memory", "source", "pairs")


def rng_state() -> dict[str, Any]:
    """Return the state of this process's generators, as tensors and plain values."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = dict(
        torch=torch.get_rng_state(),
        python=random.getstate(),
        # torch has no arithmetic for uint32, and older ones cannot store it.
        numpy=(
            name,
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            position,
            has_gauss,
            gauss,
        ),
    )
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_rng_state(state: dict[str, Any]) -> None:
    """Put back what ``rng_state`` returned."""
    torch.set_rng_state(state["torch"])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def run_state(runner: "PretrainRunner") -> dict[str, Any]:
    """Return the content of a checkpoint. Every rank must call it; its generators are included.

    Keys: ``state_dict`` (online and target networks, heads, banks, step counter), ``optimizer``
    (with the loss scaler, if any), ``param_schedulers``, ``loop``, ``rng`` (one entry per rank)
    and ``meta`` (see ``describe``).
    """
    loop = runner.train_loop
    position = dict(iter=loop.iter, epoch=loop.epoch)
    return dict(
        meta=describe(runner) | position,
        state_dict=runner.learner.state_dict(),
        optimizer=runner.optim_wrapper.state_dict(),
        param_schedulers=[scheduler.state_dict() for scheduler in runner.param_schedulers or []],
        loop=position | dict(skipped=loop.skipped),
        rng=all_gather_object(rng_state()),
    )


def restore(runner: "PretrainRunner", checkpoint: dict[str, Any], name: str) -> None:
    """Put the runner where the run that wrote ``checkpoint`` was.

    Args:
        runner: built from the same recipe, before training.
        checkpoint: content of the file.
        name: of the file, for messages.

    Raises:
        DenseCLError: not a pretraining checkpoint, or one of another recipe or data set.
    """
    missing = {"meta", "state_dict", "optimizer", "rng", "loop"} - set(checkpoint)
    if missing:
        raise DenseCLError(
            f"'{name}' is not a pretraining checkpoint: it has no {', '.join(sorted(missing))}. "
            "To start a new run from weights, set load_from instead of --resume."
        )
    check_same_run(json.loads(checkpoint["meta"]["recipe"]), _recipe(runner), name)
    load_weights(runner, checkpoint, name)
    runner.optim_wrapper.load_state_dict(checkpoint["optimizer"])
    for scheduler, state in zip(
        runner.param_schedulers or [], checkpoint["param_schedulers"], strict=True
    ):
        scheduler.load_state_dict(state)
    runner.train_loop.seek(checkpoint["loop"]["iter"])
    runner.train_loop.skipped = checkpoint["loop"]["skipped"]
    runner.saved_rng = checkpoint["rng"][get_rank()]


def load_weights(runner: "PretrainRunner", checkpoint: dict[str, Any], name: str) -> None:
    """Load the ``Learner``'s weights, all of them or none.

    Raises:
        DenseCLError: names or shapes differ; says which.
    """
    ours, theirs = runner.learner.state_dict(), checkpoint["state_dict"]
    wrong = sorted(
        key
        for key in ours.keys() | theirs.keys()
        if key not in ours or key not in theirs or ours[key].shape != theirs[key].shape
    )
    if wrong:
        raise DenseCLError(
            f"'{name}' does not fit this model: {len(wrong)} of {len(ours)} entries differ in name "
            f"or shape ({', '.join(wrong[:3])}, ...). It holds "
            f"{checkpoint.get('meta', {}).get('architecture', 'another architecture')}."
        )
    runner.learner.load_state_dict(theirs)


def describe(runner: "PretrainRunner") -> dict[str, Any]:
    """Return the metadata block: plain types that say what the weights are and how to use them."""
    model = runner.cfg.model
    return dict(
        method="+".join(objective["type"] for objective in model["objectives"]),
        architecture=model["backbone"].to_dict(),
        normalization=normalization(runner.learner.data_preprocessor),
        heads=_heads(runner),
        detector_parts=_detector_parts(runner),
        config=runner.cfg.pretty_text,
        config_hash=hashlib.sha256(json.dumps(_recipe(runner)).encode()).hexdigest()[:16],
        recipe=json.dumps(_recipe(runner)),
        data_fingerprint=runner.data_fingerprint,
        versions=versions(),
        seed=runner.seed,
    )


def normalization(preprocessor: Any) -> dict[str, Any]:
    """Return what a ``ViewPreprocessor`` does to RGB images in 0..255, whoever chose the values."""
    mean, std = (
        # Without the digits that float32 adds.
        [round(value, 4) for value in getattr(preprocessor, name).flatten().tolist()]
        for name in ("mean", "std")
    )
    return dict(mean=mean, std=std, channel_order="RGB")


def _heads(runner: "PretrainRunner") -> dict[str, Any]:
    """Describe the image-level projection heads by the names of their objectives."""
    found = {}
    for name, objective in runner.learner.named_objectives():
        head = getattr(objective, "head", None)
        if isinstance(head, MLPHead):
            found[name] = describe_layers(head.layers)
    return found


def _detector_parts(runner: "PretrainRunner") -> dict[str, str]:
    """Say where in the weights there are parts of a detector: their names in the detector."""
    return {
        f"objectives.{name}.{place}": part
        for name, objective in runner.learner.named_objectives()
        for place, part in objective.detector_parts.items()
    }


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute the weights."""
    return dict(
        dense_cl=dense_cl.__version__,
        torch=str(torch.__version__),
        torchvision=str(torchvision.__version__),
        mmengine=mmengine.__version__,
    )


def flatten(cfg: Mapping[str, Any], parts: Sequence[str]) -> dict[str, Any]:
    """Return parts of a recipe as {dotted key: plain value}, without what changes the speed."""
    flat: dict[str, Any] = {}

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                if name not in _FREE:
                    walk(item, f"{key}.{name}")
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                walk(item, f"{key}.{index}")
        else:
            flat[key] = value if isinstance(value, int | float | str) else str(value)

    for part in parts:
        walk(cfg.get(part), part)
    return flat


def _recipe(runner: "PretrainRunner") -> dict[str, Any]:
    """Return what decides the weights."""
    hooks = [hook for hook in runner.cfg.get("custom_hooks") or () if _decides_weights(hook)]
    flat = flatten(runner.cfg, _DECISIVE) | flatten({"custom_hooks": hooks}, ["custom_hooks"])
    flat["data fingerprint"] = runner.data_fingerprint
    for kind, digest in runner.region_fingerprints.items():
        _forget_places(flat, kind)
        flat[f"fingerprint of {kind}"] = digest
    pairs = getattr(runner.train_dataloader.dataset, "pairs", None)
    if pairs is not None:
        _forget_places(flat, "regions")  # the pairs know what they were mined from
        flat["fingerprint of object pairs"] = pairs.fingerprint
    flat["number of processes"] = runner.world_size
    flat["iterations per epoch"] = len(runner.train_dataloader)
    return flat


def _decides_weights(hook: Any) -> bool:
    """Whether a hook of a recipe says that it changes what is learnt."""
    kind = hook.get("type") if isinstance(hook, Mapping) else None
    return getattr(HOOKS.get(kind) if isinstance(kind, str) else kind, "decides_weights", False)


def _forget_places(flat: dict[str, Any], kind: str) -> None:
    """Leave out where files of regions or saliency lie: they are compared by fingerprint."""
    start = f"train_dataloader.dataset.{kind}."
    for key in [k for k in flat if k.startswith(start) and k.split(".")[-1] in _PLACES]:
        del flat[key]


def check_same_run(theirs: Mapping[str, Any], ours: Mapping[str, Any], name: str) -> None:
    """Check that a run that is resumed is the one that is asked for.

    Args:
        theirs: what decided the weights of the checkpoint.
        ours: what would decide them now.
        name: of the checkpoint, for the message.

    Raises:
        DenseCLError: they differ; says in what.
    """
    different = [key for key in dict.fromkeys((*theirs, *ours)) if theirs.get(key) != ours.get(key)]
    if different:
        details = "; ".join(
            f"{key} was {theirs.get(key, 'not set')!r} and is now {ours.get(key, 'not set')!r}"
            for key in different[:4]
        )
        more = f" (and {len(different) - 4} more)" if len(different) > 4 else ""
        raise DenseCLError(
            f"cannot resume from '{name}': {details}{more}. Resuming continues the same run; use "
            "its settings (config.py in its folder), or start a new run in another folder."
        )
