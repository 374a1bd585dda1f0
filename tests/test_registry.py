"""Our types are found whatever another library of the family has set up before."""

import pytest
from mmengine.registry import DefaultScope

import dense_cl
import dense_cl.models
from dense_cl.models.backbones import ResNet
from dense_cl.registry import MODELS, SOURCES
from tests.engine.tiny import tiny_config, write_images


@pytest.fixture
def foreign_scope():
    """The default scope that using MMDetection leaves behind."""
    before = dict(DefaultScope._instance_dict)
    DefaultScope.get_instance("another_library", scope_name="mmdet")
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


def test_a_bare_name_is_ours_under_a_foreign_default_scope(foreign_scope):
    """``ResNet`` exists in MMDetection, too; ``SyntheticScenes`` does not."""
    from dense_cl.transfer.mmdet_setup import import_mmdet

    import_mmdet()
    assert isinstance(MODELS.build(dict(type="ResNet", depth=18)), ResNet)
    assert len(SOURCES.build(dict(type="SyntheticScenes", count=3))) == 3


def test_a_prefixed_name_is_theirs(foreign_scope):
    """A scope in the name wins over ours."""
    from dense_cl.transfer.mmdet_setup import import_mmdet

    import_mmdet()
    theirs = MODELS.build(dict(type="mmdet.ResNet", depth=18))
    assert type(theirs).__module__.startswith("mmdet.")


def test_pretraining_leaves_no_default_scope_behind(tmp_path):
    """In which another library's bare names would not be found."""
    before = set(DefaultScope._instance_dict)
    cfg = tiny_config(write_images(tmp_path / "photos", 4), tmp_path / "run")
    cfg.train_cfg = dict(type="PretrainLoop", max_iters=1)
    dense_cl.pretrain(cfg)
    assert set(DefaultScope._instance_dict) == before
