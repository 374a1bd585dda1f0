"""Find misspelt ``--cfg-options`` of an OpenMMLab config before they are silently added to it."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner

from dense_cl.engine.signatures import accepted
from dense_cl.errors import DenseCLError, nearest

_RUNNER_SETTINGS = {"sync_bn", "activation_checkpointing", "find_unused_parameters", "compile"}


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Check that every option changes something that exists, or that its owner accepts.

    Args:
        cfg: the config before the options are merged.
        options: {"dotted.key": value}; a number in a key is an index into a list.

    Raises:
        DenseCLError: no such setting; names the nearest one.
    """
    scope = cfg.get("default_scope", "mmdet")
    for option in options:
        node: Any = cfg._cfg_dict
        reached = ""
        for part in option.split("."):
            choices = _choices(node, scope, top=not reached)
            if choices is not None and part not in choices:
                raise DenseCLError(
                    f"--cfg-options {option}: {reached or 'the config'} has no '{part}'."
                    f"{nearest(part, choices)}"
                )
            node = _child(node, part)
            reached = f"{reached}.{part}".lstrip(".")


def _choices(node: Any, scope: str, top: bool) -> set[str] | None:
    """Return the keys that may follow, or None if anything may."""
    if isinstance(node, list | tuple):
        return {str(index) for index in range(len(node))}
    if not isinstance(node, dict):
        return None
    present = set(node)
    if top:
        return present | set(inspect.signature(Runner).parameters) | _RUNNER_SETTINGS
    if "type" not in node:
        return present or None
    cls = find_type(node["type"], scope)
    if cls is None:
        return None
    allowed = accepted(cls)
    return None if allowed.open else present | set(allowed.types)


def _child(node: Any, part: str) -> Any:
    if isinstance(node, list | tuple):
        return node[int(part)]
    return node.get(part) if isinstance(node, dict) else None


def find_type(name: Any, scope: str) -> Any:
    """Return the class of a type, whichever registry of the library ``scope`` has it."""
    if not isinstance(name, str):
        return name
    registries = vars(importlib.import_module(f"{scope}.registry")).values()
    found = (value.get(name) for value in registries if isinstance(value, Registry))
    return next((cls for cls in found if cls is not None), None)
