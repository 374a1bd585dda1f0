"""From a recipe's name and a few options to a checked config."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

from dense_cl.errors import DenseCLError
from dense_cl.paths import find_config
from dense_cl.sources.base import source_from_path


def load_config(config: str | Path | Config) -> Config:
    """Read a recipe by path or name; a ``Config`` is copied.

    Raises:
        DenseCLError: there is none of that name, or it is not valid Python.
    """
    if isinstance(config, Config):
        return Config(config.to_dict(), filename=config.filename)
    path = find_config(config)
    try:
        return Config.fromfile(path)
    except Exception as error:  # a recipe is code, and its mistakes are of any kind
        raise DenseCLError(
            f"config '{path}' cannot be read: {type(error).__name__}: {error}"
        ) from error


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Turn ``key=value`` words, as after ``--cfg-options``, into {dotted key: value}.

    A value is a Python literal, or MMEngine's shorthand for one.

    Raises:
        DenseCLError: a word without ``=``.
    """
    parsed = {}
    for option in options:
        key, separator, value = option.partition("=")
        if not separator or not key:
            raise DenseCLError(f"--cfg-options {option}: write it as key=value.")
        try:
            parsed[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):  # MMEngine's shorthand: no quotes, a,b for a list
            parsed[key] = DictAction._parse_iterable(value)
    return parsed


def apply_options(
    cfg: Config,
    data: str | Path | None = None,
    annotations: str | Path | None = None,
    work_dir: str | Path | None = None,
    resume: bool | str | Path | None = None,
    amp: bool | None = None,
    cfg_options: dict[str, Any] | None = None,
    launcher: str = "none",
) -> Config:
    """Write the options of ``pretrain`` into the recipe, in the order: options, then flags.

    Raises:
        DenseCLError: an option that cannot be set, or data that are not there.
    """
    merge_options(cfg, cfg_options or {})
    cfg.setdefault("default_scope", "dense_cl")
    cfg.setdefault("randomness", {"seed": 0})
    if data is not None:
        _set_source(cfg, source_from_path(data, annotations), cfg_options or {})
    elif annotations is not None:
        raise DenseCLError("--annotations says which images of a folder to use: give --data too.")
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif "work_dir" not in cfg:
        cfg.work_dir = f"work_dirs/{Path(cfg.filename or 'pretrain').stem}"
    if resume is not None:
        cfg.resume = resume if isinstance(resume, bool) else str(resume)
    cfg.launcher = launcher
    if amp is not None:
        cfg.amp = amp
    return cfg


def _set_source(cfg: Config, source: dict[str, Any], cfg_options: dict[str, Any]) -> None:
    """Replace the recipe's source; what ``--cfg-options`` says about it (epoch_size) stays."""
    prefix = "train_dataloader.dataset.source."
    source |= {
        key.removeprefix(prefix): value
        for key, value in cfg_options.items()
        if key.startswith(prefix)
    }
    streaming = source["type"] == "WebDatasetSource"
    if streaming and "epoch_size" not in source:
        raise DenseCLError(
            f"--data {source['shards']}: a stream does not know its length. Add --cfg-options "
            f"{prefix}epoch_size=N, the number of images in all shards together."
        )
    loader = cfg.setdefault("train_dataloader", ConfigDict())
    dataset = loader.setdefault("dataset", ConfigDict())
    dataset.source = ConfigDict(source)
    if streaming:
        dataset.type = "StreamViewDataset"
    elif dataset.get("type", "StreamViewDataset") == "StreamViewDataset":
        dataset.type = "ViewDataset"


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Set {dotted key: value}.

    Raises:
        DenseCLError: a key leads through something that is no dict or list.
    """
    for key, value in options.items():
        try:
            cfg.merge_from_dict({key: value})
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            reason = str(error.args[0]).split(" of list")[0]  # MMEngine prints the whole list
            raise DenseCLError(f"--cfg-options {key}={value}: {reason}.") from None


def is_recipe(cfg: Config, file: Path) -> bool:
    """Whether a file is the recipe that was given, which nobody else has a copy of."""
    return cfg.filename is not None and Path(cfg.filename).resolve() == file.resolve()


def dump_recipe(cfg: Config, folder: str | Path) -> None:
    """Write a recipe as it is run to ``<folder>/config.py``, unless that is where it came from."""
    file = Path(folder) / "config.py"
    if not is_recipe(cfg, file):
        cfg.dump(file)
