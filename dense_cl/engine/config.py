"""From a recipe's name and a few options to a checked config."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from dense_cl.engine.amp import apply_amp
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
    except (SyntaxError, NameError, FileNotFoundError, KeyError, TypeError) as error:
        raise DenseCLError(
            f"config '{path}' cannot be read: {type(error).__name__}: {error}"
        ) from error


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Turn ``key=value`` words, as after ``--cfg-options``, into {dotted key: value}.

    Raises:
        DenseCLError: a word without ``=``.
    """
    parsed = {}
    for option in options:
        key, separator, value = option.partition("=")
        if not separator or not key:
            raise DenseCLError(f"--cfg-options {option}: write it as key=value.")
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
    _merge(cfg, cfg_options or {})
    _default_scope(cfg)
    if data is not None:
        dataset = cfg.train_dataloader.dataset
        options = (cfg_options or {}).items()
        source = source_from_path(data, annotations)
        prefix = "train_dataloader.dataset.source."
        source |= {k.removeprefix(prefix): v for k, v in options if k.startswith(prefix)}
        dataset.source = source
        streaming = source["type"] == "WebDatasetSource"
        dataset.type = "StreamViewDataset" if streaming else "ViewDataset"
    elif annotations is not None:
        raise DenseCLError("--annotations says which images of a folder to use: give --data too.")
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif "work_dir" not in cfg:
        cfg.work_dir = f"work_dirs/{Path(cfg.filename or 'pretrain').stem}"
    if resume is not None:
        cfg.resume = resume if isinstance(resume, bool) else str(resume)
    cfg.launcher = launcher
    wanted = cfg.get("amp") if amp is None else amp
    cfg.optim_wrapper = apply_amp(cfg.optim_wrapper.to_dict(), wanted)
    return cfg


def _default_scope(cfg: Config) -> None:
    cfg.setdefault("default_scope", "dense_cl")
    cfg.setdefault("randomness", dict(seed=0))


def _merge(cfg: Config, options: dict[str, Any]) -> None:
    for key, value in options.items():
        try:
            cfg.merge_from_dict({key: value})
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise DenseCLError(f"--cfg-options {key}={value}: {error}") from None
