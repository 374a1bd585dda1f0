"""What is installed, what the hardware can do, and what is wrong with the set-up.

Everything is looked up so that a missing or broken package is a finding, not a crash.
"""

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

SUPPORTED_PYTHON = ((3, 10), (3, 12))

# Module to import, distribution that brings it; one that explains a later failure comes first.
_MODULES = {
    "numpy": "numpy",
    "torch": "torch",
    "torchvision": "torchvision",
    "cv2": "opencv-python-headless",
    "albumentations": "albumentations",
    "PIL.Image": "Pillow",
    "pycocotools.mask": "pycocotools",
    "timm": "timm",
    "webdataset": "webdataset",
    "safetensors": "safetensors",
    "matplotlib": "matplotlib",
    "mmengine": "onedl-mmengine",
    "mmcv": "onedl-mmcv",
}

# Other distributions that unpack to the same folder as one of ours: the later install wins.
_CLASHES = {
    "mmcv": "onedl-mmcv",
    "mmcv-full": "onedl-mmcv",
    "mmcv-lite": "onedl-mmcv",
    "mmdet": "onedl-mmdetection",
    "mmengine": "onedl-mmengine",
    "mmengine-lite": "onedl-mmengine",
    "albumentationsx": "albumentations",
}

_REINSTALL_TORCH = (
    "install a matching pair, torch 2.N with torchvision 0.(N+15), from one index: "
    "pip install --force-reinstall torch torchvision"
)
# In a build of its own, where torch is missing, mmcv leaves its operators out.
_MMCV_WITHOUT_OPERATORS = "pip install --force-reinstall --no-deps --no-cache-dir onedl-mmcv"


@dataclass(frozen=True)
class Problem:
    """Something wrong, and what mends it."""

    what: str
    mend: str


@dataclass
class Report:
    """Findings of ``examine``; plain types only, so that it is JSON as it stands."""

    python: str
    platform: str
    packages: dict[str, str | None] = field(default_factory=dict)
    devices: dict[str, Any] = field(default_factory=dict)
    operators: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as nested plain types."""
        return asdict(self)


def examine() -> Report:
    """Look at this Python, its packages, the devices and the current folder."""
    report = Report(python=platform.python_version(), platform=platform.platform())
    report.packages, report.problems = check_packages()
    report.problems += check_python(sys.version_info[:2])
    report.problems += check_clashes(installed_version)
    present = {m: d for m, d in _MODULES.items() if report.packages.get(d, "?") is not None}
    broken = check_imports(present)
    report.problems += broken
    if present == _MODULES and not broken:
        report.problems += check_vision_operators()
        report.operators, problems = check_mmcv_operators()
        report.problems += problems + check_imports({"mmdet.models": "onedl-mmdetection"})
    report.devices = find_devices()
    report.problems += check_storage()
    return report


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_python(version: tuple[int, ...]) -> list[Problem]:
    """Compare with the versions the package is tested on."""
    oldest, newest = SUPPORTED_PYTHON
    if oldest <= version <= newest:
        return []
    name = ".".join(map(str, version))
    return [
        Problem(
            f"Python {name} is not supported: {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}",
            "make a new environment with a supported Python: make PYTHON=python3.11 quickstart",
        )
    ]


def check_packages(
    requires: list[str] | None = None,
    version_of: Callable[[str], str | None] = installed_version,
) -> tuple[dict[str, str | None], list[Problem]]:
    """Compare installed versions with what ``setup.py`` asks for.

    Args:
        requires: requirements as in package metadata; those of the installed dense_cl by default.
        version_of: distribution name to version, or None when it is not installed.

    Returns:
        Versions by distribution, and the problems.
    """
    if requires is None:
        try:
            requires = metadata.requires("dense_cl") or []
        except metadata.PackageNotFoundError:
            return {}, [Problem("dense_cl is not installed", "pip install -c constraints.txt -e .")]
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return {}, [Problem("packaging is not installed", "pip install packaging")]
    versions: dict[str, str | None] = {}
    problems = []
    for requirement in map(Requirement, requires):
        optional = requirement.marker and not requirement.marker.evaluate({"extra": ""})
        version = version_of(requirement.name)
        if optional and version is None:
            continue
        versions[requirement.name] = version
        wanted = f"{requirement.name}{requirement.specifier}"
        mend = f"pip install '{wanted}'"
        if version is None:
            problems.append(Problem(f"{requirement.name} is not installed", mend))
        elif not requirement.specifier.contains(version, prereleases=True):
            problems.append(Problem(f"{requirement.name} {version} is outside {wanted}", mend))
    return versions, problems


def check_clashes(version_of: Callable[[str], str | None]) -> list[Problem]:
    """Find distributions that overwrite one of ours, such as upstream's mmcv."""
    return [
        Problem(
            f"{other} {version_of(other)} is installed and overwrites files of {ours}",
            f"pip uninstall -y {other} && pip install --force-reinstall --no-deps {ours}",
        )
        for other, ours in _CLASHES.items()
        if version_of(other) is not None
    ]


def check_imports(modules: dict[str, str]) -> list[Problem]:
    """Import each module; a failure tells why and what mends it.

    Args:
        modules: import name to the distribution that brings it.
    """
    problems = []
    for module, distribution in modules.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package can raise anything
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            mend = f"pip install --force-reinstall --no-deps {distribution}"
            if "operator torchvision::" in reason:
                mend = _REINSTALL_TORCH
            problems.append(Problem(f"'import {module}' fails: {reason}", mend))
    return problems


def check_vision_operators() -> list[Problem]:
    """Run one operator of torchvision's extension on every kind of device torch can use."""
    import torch
    import torchvision

    problems = []
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        try:
            box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=device)
            torchvision.ops.nms(box, box[:, 0], 0.5)
        except Exception as error:
            reason = str(error).splitlines()[0]
            versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
            what = f"torchvision's operators do not run on {device} ({versions}): {reason}"
            problems.append(Problem(what, _REINSTALL_TORCH))
    return problems


def check_mmcv_operators() -> tuple[dict[str, str], list[Problem]]:
    """Return where each of mmcv's operators comes from, and what is wrong with a compiled one."""
    from dense_cl.transfer import mmcv_ops

    reason = mmcv_ops.compiled_error()
    mmcv_ops.ensure()
    origins: dict[str, str] = {
        operator: mmcv_ops.origin(operator) for operator in mmcv_ops.OPERATORS
    }
    if reason is None or "No module named 'mmcv._ext'" in reason:
        return origins, []
    what = f"mmcv's compiled operators do not load, the fallback is used: {reason}"
    mend = "build mmcv for this torch, or take it without operators: " + _MMCV_WITHOUT_OPERATORS
    return origins, [Problem(what, mend)]


def find_devices() -> dict[str, Any]:
    """Return what can compute, and how fast number formats are supported."""
    devices: dict[str, Any] = {"cpu": platform.processor() or platform.machine()}
    devices["cpu_cores"] = (
        len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    )
    try:
        import torch

        from dense_cl.engine.amp import cpu_has_bfloat16
    except Exception:  # reported by check_imports
        return devices
    devices["cpu_bfloat16"] = cpu_has_bfloat16()
    devices["cuda_built"] = torch.version.cuda
    devices["cuda"] = [
        f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, "
        f"sm_{properties.major}{properties.minor}"
        for properties in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    ]
    return devices


def check_storage(shared_memory: str = "/dev/shm") -> list[Problem]:
    """Check that results can be written here and that loader workers have shared memory."""
    problems = []
    try:
        folder = os.getcwd()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = f"cannot write to the current folder, where work_dirs/ goes: {error}"
        problems.append(Problem(what, "change to a folder you own, or pass --work-dir"))
    if os.path.isdir(shared_memory):
        size = shutil.disk_usage(shared_memory).total / 2**20
        if size < 128:
            what = (
                f"{shared_memory} has {size:.0f} MiB; loader workers die of 'Bus error' when full"
            )
            mend = "start the container with --shm-size=2g, or set num_workers=0"
            problems.append(Problem(what, mend))
    return problems
