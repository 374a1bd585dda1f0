"""The quickstart at a size of seconds, its memory of finished stages, and what its page claims."""

import json
import re

import pytest

from dense_cl.errors import DenseCLError
from dense_cl.quickstart import STARTS, Settings, _Stages, quickstart
from dense_cl.report.quickstart_page import MEASURES, SEED_NOISE, verdict

TINY = Settings(
    seed=5,
    image_size=64,
    scenes=12,
    labelled=4,
    val=3,
    pretrain_options={
        "train_cfg.max_epochs": 1,
        "train_dataloader.batch_size": 4,
        "train_dataloader.num_workers": 0,
        "train_dataloader.dataset.views.0.size": (64, 64),
        "model.objectives.0.queue_size": 8,
        "model.objectives.1.queue_size": 8,
        "default_hooks.logger.interval": 1,
    },
    finetune_options={
        "train_cfg.max_iters": 2,
        "train_cfg.val_interval": 2,
        "train_dataloader.batch_size": 2,
        "default_hooks.logger.interval": 1,
        **{
            f"{split}_dataloader.{key}": value
            for split in ("train", "val")
            for key, value in (("num_workers", 0), ("persistent_workers", False))
        },
    },
)


def test_the_whole_path_and_its_memory(tmp_path):
    lines: list[str] = []
    page = quickstart(tmp_path / "work", tmp_path / "scenes", TINY, say=lines.append)
    assert page == tmp_path / "work" / "report.html"
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/") == 5
    assert "http" not in re.sub(r"data:image/[^\"]*", "", text)
    results = json.loads((tmp_path / "work" / "results.json").read_text())
    assert results["settings"]["seed"] == 5
    for start in STARTS:
        assert set(MEASURES) <= set(results["finetuning"][start])
        assert f"{100 * results['finetuning'][start]['bbox_mAP']:.1f}" in text

    weights = tmp_path / "work" / "pretrain" / "backbone.pth"
    written = weights.stat().st_mtime_ns
    lines.clear()
    quickstart(tmp_path / "work", tmp_path / "scenes", TINY, say=lines.append)
    assert sum("done before" in line for line in lines) == 3
    assert weights.stat().st_mtime_ns == written


def test_stages_are_repeated_when_their_settings_change_or_they_were_interrupted(tmp_path):
    done = []
    title = "pretrain without labels"

    def work(value):
        def run():
            done.append(value)
            return {"value": value}

        return run

    def fail():
        raise RuntimeError("killed")

    stages = lambda: _Stages(lambda line: None)  # noqa: E731
    folder = tmp_path / "stage"
    assert stages().run(title, work(1), folder, "a") == {"value": 1}
    assert stages().run(title, work(2), folder, "a") == {"value": 1}
    (folder / "old").touch()
    assert stages().run(title, work(3), folder, "b") == {"value": 3}
    assert not (folder / "old").exists()
    with pytest.raises(RuntimeError):
        stages().run(title, fail, folder, "c")
    (folder / "checkpoint").touch()  # what an interrupted stage left is there to go on from
    assert stages().run(title, work(4), folder, "c") == {"value": 4}
    assert (folder / "checkpoint").exists()
    assert done == [1, 3, 4]


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "backbone.pth").touch()
    with pytest.raises(DenseCLError, match="pretrain' holds something that is not of a quickstart"):
        _Stages(print).run("pretrain without labels", dict, tmp_path / "pretrain", "a")
    assert (tmp_path / "pretrain" / "backbone.pth").exists()


def _results(box, segm):
    def values(number):
        return {"bbox_mAP": box[number], "segm_mAP": segm[number]}

    tuned = {"pretrained": values(0), "random": values(1)}
    return {"finetuning": tuned, "settings": {"seed": 7}}


@pytest.mark.parametrize(
    ("gain", "sentence"),
    [(4, "Pretraining helped"), (1, "No clear difference"), (-4, "it hurt")],
)
def test_the_verdict_weighs_the_gain_against_the_noise(gain, sentence):
    points = gain * SEED_NOISE / 100
    said = verdict(_results((0.2 + points, 0.2), (0.1 + points, 0.1)))
    assert sentence in said and "one seed (7)" in said
    assert f"{20 + gain * SEED_NOISE:.1f}" in said


def test_a_gain_in_boxes_alone_is_not_called_help():
    assert "No clear difference" in verdict(_results((0.9, 0.1), (0.1, 0.1)))
