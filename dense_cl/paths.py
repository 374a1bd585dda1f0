"""Where the packaged recipes are, how one is found by name, and what is hidden in a folder."""

from pathlib import Path

from dense_cl.errors import DenseCLError, nearest

_PACKAGE = Path(__file__).resolve().parent


def configs_dir() -> Path:
    """Return the folder of recipes: inside an installed package, else beside it in a checkout."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def is_hidden(file: Path, folder: Path) -> bool:
    """Tell whether a file, or a folder on the way to it from ``folder``, has a leading dot."""
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def find_config(name: str | Path) -> Path:
    """Return the file of a recipe.

    Args:
        name: a path, or the bare name of a recipe leaf, with or without ``.py``.

    Raises:
        DenseCLError: no such file, and no recipe of that name; names the nearest one.
    """
    path = Path(name)
    if path.is_file():
        return path
    leaves = {p.stem: p for p in sorted(configs_dir().rglob("*.py")) if "_base_" not in p.parts}
    if path.stem in leaves and len(path.parts) == 1:
        return leaves[path.stem]
    raise DenseCLError(
        f"config '{name}' is neither a file nor a recipe.{nearest(path.stem, leaves)}"
    )
