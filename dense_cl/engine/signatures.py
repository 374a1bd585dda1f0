"""What a callable accepts, and whether a value fits an annotation."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

# Modules of object, Protocol and nn.Module, whose constructors take *args and **kwargs and refuse
# whatever is in them.
_TAKE_NOTHING = ("builtins", "typing", "torch.nn.modules.module")
_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Accepted:
    """Keyword arguments of a callable.

    Attributes:
        types: annotation by name, ``Any`` where there is none.
        required: names without a default.
        open: takes names that cannot be known from signatures.
    """

    types: dict[str, Any]
    required: frozenset[str]
    open: bool


def accepted(target: Callable[..., Any]) -> Accepted:
    """Collect what ``target`` takes; for a class, ``**kwargs`` is followed up its ancestors."""
    constructors: list[Callable[..., Any]] = [target]
    if inspect.isclass(target):
        constructors = [
            c.__dict__["__init__"]
            for c in target.__mro__
            if "__init__" in c.__dict__ and c.__module__ not in _TAKE_NOTHING
        ]
    found: dict[str, Any] = {}
    required: set[str] = set()
    for constructor in constructors:
        parameters = inspect.signature(constructor).parameters
        hints = _hints(constructor)
        for name, parameter in parameters.items():
            if parameter.kind in _KEYWORD and name != "self" and name not in found:
                found[name] = hints.get(name, Any)
                if parameter.default is inspect.Parameter.empty:
                    required.add(name)
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return Accepted(found, frozenset(required), False)
    return Accepted(found, frozenset(required), bool(constructors))


def _hints(constructor: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(constructor)
    except (NameError, TypeError, AttributeError):  # names imported for type checkers only
        return {}


def fits(value: Any, annotation: Any) -> bool:
    """Whether ``value`` may be passed where ``annotation`` stands; True when in doubt."""
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        return any(fits(value, option) for option in typing.get_args(annotation))
    if origin is typing.Literal:
        return value in typing.get_args(annotation)
    if annotation is Any:
        return True
    if annotation is type(None):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation in (str, Path):
        return isinstance(value, str | Path)
    if annotation in (list, tuple) or origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and _items_fit(value, annotation)
    if annotation is dict or origin in (dict, Mapping):
        return isinstance(value, Mapping)
    if inspect.isclass(annotation) and isinstance(value, str | int | float):
        # A number or text is no object, unless the class says that it takes them.
        return issubclass(type(value), annotation)
    return True


def _items_fit(values: Sequence[Any], annotation: Any) -> bool:
    kinds = typing.get_args(annotation)
    if not kinds:
        return True
    if typing.get_origin(annotation) is tuple and kinds[-1] is not Ellipsis:
        return len(values) == len(kinds) and all(map(fits, values, kinds))
    return all(fits(value, kinds[0]) for value in values)


def readable(annotation: Any) -> str:
    """Return an annotation as people write it."""
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("NoneType", "None")
