"""Import MMSegmentation once, quietly, with its operators in place and our types known to it."""

import contextlib
import functools
import importlib
import io
import warnings

from dense_cl.errors import DenseCLError


@functools.cache
def import_mmseg() -> None:
    """Make MMSegmentation's types buildable, with compiled mmcv operators or without.

    Afterwards ``MaskFolderDataset``, ``PixelConfusion`` and ``TimmBackbone`` are known in its own
    scope as well; everything else of ours is reached there as ``'dense_cl.X'``.

    Raises:
        DenseCLError: MMSegmentation is not installed, or mmcv is missing or cannot be mended.
    """
    from dense_cl.transfer.mmcv_ops import ensure

    ensure()
    try:
        importlib.import_module("mmseg")
        importlib.import_module("ftfy")  # its tokenizer's; they are missing after --no-deps
        importlib.import_module("regex")
    except ImportError as error:
        raise DenseCLError(
            f"segmentation needs MMSegmentation, and it is not complete here ({error})."
            " Install it with: pip install 'dense_cl[segmentation]'"
        ) from None
    # It speaks of optional packages, which are of no use here, while it is imported.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from mmseg.utils import register_all_modules

        register_all_modules(init_default_scope=False)
    from mmseg.registry import MODELS

    import dense_cl.evaluation.segmenter.dataset
    import dense_cl.evaluation.segmenter.pixel_confusion  # noqa: F401  (register themselves)
    import dense_cl.transfer.hooks  # noqa: F401
    from dense_cl.models.backbones import TimmBackbone

    MODELS.register_module(name="TimmBackbone", module=TimmBackbone, force=True)
