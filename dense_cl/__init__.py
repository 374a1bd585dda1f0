"""dense_cl: dense and scene-level representation learning.

``pretrain(config, data=...)``, ``diagnose(backbone, data=...)``, ``load_backbone(file)`` and
``finetune(config, backbone=...)`` are the whole Python interface for everyday use; each is imported
when first used, so that ``import dense_cl`` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "pretrain": "dense_cl.engine.pretrain",
    "load_backbone": "dense_cl.transfer.loading",
    "finetune": "dense_cl.transfer.finetune",
    "diagnose": "dense_cl.diagnostics.diagnose",
}
__all__ = ["__version__", *_LAZY]


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        # The function must win over a submodule of the same name.
        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'dense_cl' has no attribute '{name}'")
