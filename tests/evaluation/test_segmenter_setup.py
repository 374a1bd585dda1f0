"""What is said where MMSegmentation is missing or belongs to another command."""

import sys

import pytest

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.segmenter.setup import import_mmseg


@pytest.mark.parametrize("module", ["mmseg", "ftfy", "regex"])
def test_without_mmsegmentation(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DenseCLError, match=r"pip install 'dense_cl\[segmentation\]'"):
        import_mmseg.__wrapped__()


def test_a_recipe_of_segmentation_is_not_for_detectors(capsys):
    recipe = "fcn_resnet18_1xb8_cosine_300i_small"
    assert main(["finetune", recipe, "--backbone", "random"]) == 2
    assert "'dense-cl evaluate segmentation-fine-tuning' takes it" in capsys.readouterr().err


def test_operators_without_a_fallback_fail_when_used():
    pytest.importorskip("mmseg", reason="MMSegmentation is not installed")
    import torch

    import_mmseg()
    from mmseg.registry import MODELS

    from dense_cl.transfer.mmcv_ops import origin

    if origin("psamask_forward") != "missing":
        pytest.skip("mmcv has compiled operators here")
    heads = dict(in_channels=8, channels=8, num_classes=3, norm_cfg=dict(type="BN"))
    image = [torch.rand(2, 8, 8, 8)]
    # Criss-cross attention is plain torch.
    assert MODELS.build(dict(type="mmseg.CCHead", **heads))(image).shape == (2, 3, 8, 8)
    head = MODELS.build(dict(type="mmseg.PSAHead", mask_size=(7, 7), **heads))
    with pytest.raises(DenseCLError, match="'psamask_forward' has no fallback"):
        head(image)
