"""Hooks of a pretraining run; importing the package registers them."""

from dense_cl.engine.hooks.diagnostics import DiagnosticsHook
from dense_cl.engine.hooks.fixed_lr import FixedLRHook
from dense_cl.engine.hooks.freeze import FreezeHook
from dense_cl.engine.hooks.health import HealthHook
from dense_cl.engine.hooks.progress import ProgressHook
from dense_cl.engine.hooks.quarantine import QuarantineHook
from dense_cl.engine.hooks.save_state import SaveStateHook
from dense_cl.engine.hooks.summary import SummaryHook

__all__ = [
    "DiagnosticsHook",
    "FixedLRHook",
    "FreezeHook",
    "HealthHook",
    "ProgressHook",
    "QuarantineHook",
    "SaveStateHook",
    "SummaryHook",
]
