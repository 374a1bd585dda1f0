"""Import MMDetection once, quietly, with its operators in place and our backbones known to it."""

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator

from mmengine.registry import DefaultScope


@functools.cache
def import_mmdet() -> None:
    """Make MMDetection's types buildable, with compiled mmcv operators or without.

    Afterwards ``type='TimmBackbone'`` is known in MMDetection's own scope as well; everything else
    of ours is reached there as ``'dense_cl.X'``.

    Raises:
        DenseCLError: mmcv is missing or was imported in a state that cannot be mended.
    """
    from dense_cl.transfer.mmcv_ops import ensure

    ensure()
    # MMDetection speaks of optional packages, which are of no use here, while it is imported.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from mmdet.utils import register_all_modules

        register_all_modules(init_default_scope=False)
    from mmdet.registry import MODELS

    import dense_cl.transfer.c4
    import dense_cl.transfer.hooks
    import dense_cl.transfer.metrics
    import dense_cl.transfer.panoptic  # noqa: F401  (registers them)
    from dense_cl.models.backbones import TimmBackbone

    MODELS.register_module(name="TimmBackbone", module=TimmBackbone, force=True)


@contextlib.contextmanager
def scope_kept() -> Iterator[None]:
    """Undo what a Runner leaves behind: its default scope, in which ``ResNet`` is MMDetection's."""
    before = set(DefaultScope._instance_dict)
    try:
        yield
    finally:
        for name in set(DefaultScope._instance_dict) - before:
            del DefaultScope._instance_dict[name]
