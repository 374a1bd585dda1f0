"""What ``dense-cl show crops`` and ``show saliency`` draw and count."""

import json

import numpy as np
import pytest
from PIL import Image

from dense_cl.cli import main
from dense_cl.diagnostics import show, show_crops
from dense_cl.report.draw import PALETTE
from dense_cl.report.draw_views import draw_numbers, draw_outlines

RECIPE = "moco_v2_resnet18_1xb32_cosine_40e_voc_animals"
CROP = "train_dataloader.dataset.views.0.crop"


@pytest.fixture
def photos(tmp_path):
    """Two photos: a white square and a white bar on black, and nothing; their masks."""
    folders = [tmp_path / name for name in ("photos", "masks")]
    for folder in folders:
        folder.mkdir()
    for number in range(2):
        ids = np.full((60, 80), 255, np.uint8)  # no region
        if number == 0:
            ids[10:30, 10:30], ids[50:58, 40:80] = 0, 1
        Image.fromarray(np.where(ids < 255, 255, 0).astype(np.uint8)).save(
            folders[0] / f"{number}.png"
        )
        Image.fromarray(ids).save(folders[1] / f"{number}.png")
    return folders


@pytest.fixture
def options(photos):
    return {
        "train_dataloader.dataset.saliency": dict(type="LabelMaps", root=str(photos[1])),
        f"{CROP}.type": "SaliencyCrop",
        f"{CROP}.component": "largest",
        f"{CROP}.min_cover": 1.0,
        f"{CROP}.scale": (0.2, 0.4),
    }


def test_crops_are_drawn_and_counted_by_how_they_came_about(photos, options):
    drawing = show_crops.show_crops(
        show.load_views(RECIPE, photos[0], images=2, cfg_options=options), draws=30
    )
    objects, nothing = drawing.facts["images"]
    assert objects["objects"] == 2
    assert objects["share_of_photo"] == [round(400 / 4800, 4), round(320 / 4800, 4)]
    assert nothing["objects"] == 0 and nothing["share_of_photo"] == []
    for view in objects["rates"]:
        assert sum(view.values()) == pytest.approx(1, abs=1e-3)
        assert view["crop_unconstrained"] == 0 and 0 < view["crop_first_try"] < 1
    assert [view["crop_unconstrained"] for view in nothing["rates"]] == [1, 1]
    pink = (drawing.picture == PALETTE[3]).all(axis=-1)
    first, second = np.split(pink[24:], 2)  # a row of pictures each, below the titles
    assert second.sum() > 1000 and not first.any()
    blue = (drawing.picture == PALETTE[0]).all(axis=-1)
    assert np.split(blue[24:], 2)[0].sum() > 1000


def test_plain_crops_have_no_rates(photos):
    seen = show.load_views(RECIPE, photos[0], images=1)
    facts = show_crops.show_crops(seen, 2).facts
    assert facts["images"][0]["rates"] == [{}, {}] and "objects" not in facts["images"][0]
    with pytest.raises(show.DenseCLError, match="--draws 0"):
        show_crops.show_crops(seen, 0)
    with pytest.raises(show.DenseCLError, match=r"dataset\.saliency"):
        show_crops.show_saliency(seen)


def test_saliency_of_views_is_counted(photos, options):
    seen = show.load_views(RECIPE, photos[0], images=2, cfg_options=options)
    facts = show_crops.show_saliency(seen).facts["images"]
    # Views show white where something is salient, but for their colours and borders.
    for view, share in enumerate(facts[0]["salient_share_of_views"]):
        assert share == pytest.approx(float(seen.views[view].saliency[0].float().mean()), abs=1e-3)
        assert share > 0.1
    assert facts[1]["salient_share_of_views"] == [0, 0]


def test_numbers_stand_in_their_regions_and_outlines_have_the_colours_asked_for():
    labels = np.full((80, 120), -1)
    labels[20:60, 60:] = 7
    changed = (draw_numbers(np.full((80, 120, 3), 9, np.uint8), labels) != 9).any(axis=-1)
    assert changed.any() and (labels[changed] == 7).all()
    square = np.array([[5.0, 5], [30, 5], [30, 30], [5, 30]])
    drawn = draw_outlines(np.zeros((80, 120, 3), np.uint8), [square, square + 40], [4, 4])
    assert {tuple(c) for c in drawn[drawn.any(axis=-1)].tolist()} == {PALETTE[4]}


def test_the_command_writes_both(photos, tmp_path):
    masks = f"train_dataloader.dataset.saliency.root={photos[1]}"
    kind = "train_dataloader.dataset.saliency.type=LabelMaps"
    for name in ("crops", "saliency"):
        out = tmp_path / "out"
        command = ["show", name, RECIPE, "--data", str(photos[0]), "--out", str(out)]
        assert main([*command, "--draws", "3", "--cfg-options", kind, masks]) == 0
        assert Image.open(out / f"{name}.png").size[0] > 400
        facts = json.loads((out / f"{name}.json").read_text())["images"]
        assert [fact["objects"] for fact in facts] == [2, 0]
