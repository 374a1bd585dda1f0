"""What is built is what a checkout is: the recipes, the modules, the version."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import dense_cl
from dense_cl import doctor

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Build a copy of the checkout and return the folder an install would unpack."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("dense_cl", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", folder)
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", "built"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "built"


def python_files(folder: Path) -> set[Path]:
    return {file.relative_to(folder) for file in folder.rglob("*.py")}


def test_modules_and_recipes_are_built(built):
    recipes = python_files(ROOT / "configs")
    assert recipes and python_files(built / "dense_cl" / "configs") == recipes
    modules = {f for f in python_files(built / "dense_cl") if f.parts[0] != "configs"}
    assert modules == python_files(ROOT / "dense_cl")


def test_a_built_package_finds_and_reads_its_recipes(built, tmp_path):
    stem = next(p.stem for p in sorted((ROOT / "configs").rglob("*.py")) if "_base_" not in p.parts)
    script = (
        "from mmengine import Config; from dense_cl.paths import find_config\n"
        f"file = find_config('{stem}'); Config.fromfile(file); print(file)"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(built)}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert Path(run.stdout.strip()).is_relative_to(built / "dense_cl" / "configs")


def test_version_is_the_packages(built):
    command = [sys.executable, "setup.py", "--version"]
    run = subprocess.run(command, cwd=built.parent, capture_output=True, text=True, check=True)
    assert run.stdout.split()[-1] == dense_cl.__version__


def test_the_pinned_set_lies_in_the_ranges():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    source = (ROOT / "setup.py").read_text()
    ranges = [Requirement(text) for text in re.findall(r'"([A-Za-z][\w.-]+>=[^"]+)"', source)]
    assert {"torch", "onedl-mmcv", "pytest", "wandb"} <= {r.name for r in ranges}
    versions, problems = doctor.check_packages(
        [str(r) for r in ranges], lambda name: pins.get(name.lower())
    )
    assert not problems
