"""The whole model of a pretraining checkpoint: heads and all, without running code from it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dense_cl.engine.checkpoint import load_checkpoint
from dense_cl.errors import DenseCLError
from dense_cl.models.learner import Learner
from dense_cl.transfer.loading import DOWNLOADS, refuse_foreign_types


@dataclass(frozen=True)
class PretrainedLearner:
    """What a checkpoint of ``dense-cl pretrain`` says about itself.

    Attributes:
        learner: with the checkpoint's weights.
        views: configs of the recipe's view groups.
    """

    learner: Learner
    views: list[dict[str, Any]]


def load_learner(file: str | Path) -> PretrainedLearner:
    """Rebuild the model that wrote a checkpoint, and load all of its weights.

    Raises:
        DenseCLError: not a pretraining checkpoint, or its recipe needs classes that are not
            here.
    """
    content = load_checkpoint(file)
    text = content.get("meta", {}).get("config")
    if not text or "state_dict" not in content:
        raise DenseCLError(
            f"'{file}' is not a checkpoint of 'dense-cl pretrain': it has no recipe, so its heads "
            "are not known."
        )
    recipe = read_recipe(text)
    model = {key: value for key, value in recipe["model"].items() if key != "type"}
    model["backbone"] = {
        key: value for key, value in model["backbone"].items() if key not in DOWNLOADS
    }
    views = recipe["train_dataloader"]["dataset"]["views"]
    refuse_foreign_types([model, views], file)
    import dense_cl.objectives  # noqa: F401  registers them

    try:
        learner = Learner(**model)
        _make_room(learner, content["state_dict"])
        learner.load_state_dict(content["state_dict"])
    except (DenseCLError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise DenseCLError(f"the model of '{file}' cannot be rebuilt: {reason}") from None
    return PretrainedLearner(learner, views)


def _make_room(learner: Learner, state_dict: Mapping[str, Tensor]) -> None:
    """Make buffers that a run has for every image, empty so far, as large as they were saved."""
    for name, buffer in list(learner.named_buffers()):
        if not buffer.numel() and name in state_dict:
            module, _, own_name = name.rpartition(".")
            saved = torch.empty_like(state_dict[name])
            learner.get_submodule(module).register_buffer(own_name, saved)


def read_recipe(text: str) -> dict[str, Any]:
    """Read the settings of a recipe that MMEngine wrote down, as data.

    Args:
        text: assignments of literals and of ``dict(...)``; nothing is executed.

    Raises:
        DenseCLError: anything else in it.
    """
    try:
        return {
            statement.targets[0].id: _value(statement.value)  # type: ignore[attr-defined]
            for statement in ast.parse(text).body
            if isinstance(statement, ast.Assign)
        }
    except (SyntaxError, ValueError, AttributeError) as error:
        raise DenseCLError(f"the recipe in the checkpoint cannot be read: {error}") from None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        if getattr(node.func, "id", None) != "dict":
            raise ValueError(f"line {node.lineno} holds a call, which is not run")
        keywords = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        # dict({'.predictor.': 1}): keys that are no names.
        return {k: v for mapping in node.args for k, v in _value(mapping).items()} | keywords
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_value, node.values), strict=True))
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    return ast.literal_eval(node)
