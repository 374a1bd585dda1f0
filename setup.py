"""What the package is, what it needs, and how its recipes reach an installed copy."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def version() -> str:
    """Read ``__version__`` without importing the package, whose dependencies may be missing."""
    source = (ROOT / "dense_cl" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', source, re.MULTILINE)
    assert match, "dense_cl/__init__.py does not set __version__"
    return match[1]


class BuildWithConfigs(build_py):
    """Copy ``configs/`` into the built package as ``dense_cl/configs`` (see dense_cl/paths.py).

    The recipes are plain files in folders that are no packages, beside the package in a checkout.
    An editable install reads them from there.
    """

    def run(self) -> None:
        """Build the package, then add the recipes."""
        super().run()
        if not self.editable_mode:
            shutil.copytree(
                ROOT / "configs",
                Path(self.build_lib) / "dense_cl" / "configs",
                ignore=shutil.ignore_patterns("__pycache__"),
                dirs_exist_ok=True,
            )


REQUIRES = [
    "torch>=2.5,<2.14",
    "torchvision>=0.20,<0.29",
    "numpy>=1.26,<3",
    "scipy>=1.10",
    "scikit-image>=0.22,<0.27",
    "Pillow>=10.3",
    "albumentations>=2.0.8,<2.1",
    # albumentations brings the headless build and mmcv the other; both unpack to cv2/.
    "opencv-python-headless>=4.9,<5",
    "onedl-mmengine>=0.10.8,<0.11",
    "onedl-mmcv>=2.3,<2.4",
    "onedl-mmdetection>=3.5,<3.6",
    "pycocotools>=2.0.7",
    "timm>=1.0.9,<2",
    "webdataset>=0.2.100,<2",
    "safetensors>=0.4.3",
    "matplotlib>=3.8",
]
# Pure Python, 25 MB with what it brings; the tests exercise it.
SEGMENTATION = ["onedl-mmsegmentation>=1.4.2,<1.5"]
TEST = ["pytest>=9", "hypothesis>=6.100", "scikit-learn>=1.4", *SEGMENTATION]
TRACKING = ["tensorboard>=2.16", "wandb>=0.17", "mlflow>=2.14"]
DOCS = ["mkdocs>=1.6"]
DEV = [*TEST, "ruff>=0.9", "mypy>=1.13"]
BENCH = ["lightly>=1.6,<1.7"]  # what benchmarks/ compares with

setup(
    name="dense_cl",
    version=version(),
    description="Dense and scene-level self-supervised pretraining, handed over to MMDetection.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8")
    if (ROOT / "README.md").is_file()
    else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["dense_cl", "dense_cl.*"]),
    package_data={"dense_cl": ["**/*.html", "**/*.css"]},
    cmdclass={"build_py": BuildWithConfigs},
    install_requires=REQUIRES,
    extras_require={
        "test": TEST,
        "dev": DEV,
        "docs": DOCS,
        "segmentation": SEGMENTATION,
        "tracking": TRACKING,
        "bench": BENCH,
    },
    entry_points={"console_scripts": ["dense-cl = dense_cl.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
