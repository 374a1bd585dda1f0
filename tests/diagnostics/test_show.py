"""What ``dense-cl show`` draws, and the numbers beside the pictures."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dense_cl.cli import main
from dense_cl.diagnostics import show
from dense_cl.diagnostics.show_attention import show_attention
from dense_cl.errors import DenseCLError
from dense_cl.losses.attention import saliency_on_cells
from dense_cl.models.correspondence import KBestFeatures
from dense_cl.models.grad_cam import pair_grad_cam
from dense_cl.regions.regions import RegionBatch
from dense_cl.registry import MODELS
from dense_cl.report.draw_views import draw_label_map, principal_colours
from dense_cl.views.geometry import geometries

RECIPE = "densecl_resnet18_1xb32_cosine_40e_voc_animals"
PIXPRO = "pixpro_resnet18_1xb32_cosine_40e_voc_animals"
VICREGL = "vicregl_resnet18_1xb32_cosine_40e_voc_animals"


VIEW = "train_dataloader.dataset.views.0"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_views_are_those_of_the_first_epoch_and_overlaps_are_exact(photos):
    seen = show.load_views(RECIPE, photos, images=2)
    assert [name.rsplit("/", 1)[-1] for name in seen.names] == ["0.png", "2.png"]
    drawing = show.show_views(seen)
    for row, fact in enumerate(drawing.facts["images"]):
        left, right = (geometries(view)[row] for view in seen.views)
        # Both are upright boxes of the source here, whole images being drawn from their crops.
        boxes = [np.concatenate([g.outline().min(0), g.outline().max(0)]) for g in (left, right)]
        low, high = np.maximum(*boxes)[:2], np.minimum(*boxes)[2:]
        both = np.prod(np.clip(high - low, 0, None))
        areas = [np.prod(box[2:] - box[:2]) for box in boxes]
        expected = both / min(areas)
        assert fact["overlap_of_smaller_with_view_0"] == [pytest.approx(expected, abs=1e-3)]
        assert fact["share_of_source"] == pytest.approx([a / 4800 for a in areas], abs=1e-3)


def test_a_view_of_another_image_has_no_place_in_this_one(photos):
    seen = show.load_views(RECIPE, photos, images=1)
    own = show.show_views(seen)
    seen.views[1] = replace(seen.views[1], other_image=True)
    drawing = show.show_views(seen)
    assert drawing.facts["images"][0]["overlap_of_smaller_with_view_0"] == [None]
    assert own.facts["images"][0]["overlap_of_smaller_with_view_0"] != [None]
    assert not np.array_equal(drawing.picture, own.picture)  # an outline less


def test_geometric_matches_are_right_and_those_of_random_features_are_counted(photos):
    geometric = {"model.objectives.1.correspondence.type": "GeometricNearest"}
    seen = show.load_views(RECIPE, photos, images=3, cfg_options=geometric)
    drawing = show.show_correspondences(seen)
    facts = drawing.facts["providers"]["dense_info_nce: GeometricNearest, before training"]
    assert facts["right"] == facts["matched"] > 0
    argmax = show.show_correspondences(show.load_views(RECIPE, photos, images=3))
    facts = argmax.facts["providers"]["dense_info_nce: FeatureArgmax, before training"]
    # Every cell is matched, also those that the other view does not show.
    assert 0 <= facts["right"] < facts["matched"] == 3 * 9


def test_every_provider_of_an_objective_is_drawn_and_a_stand_in_says_so(photos):
    seen = show.load_views(VICREGL, photos, images=2)
    # Views of the whole photo: places of all 36 cells are matched, and the best are kept.
    seen.views[1] = replace(seen.views[1], matrix=seen.views[0].matrix)
    facts = show.show_correspondences(seen).facts
    matched = {name: fact["matched"] for name, fact in facts["providers"].items()}
    assert matched == {
        f"vicregl: {kind}({count}), before training": 2 * count
        for kind in ("KBestFeatures", "KBestLocations")
        for count in (20, 4)
    }
    recipe = "moco_v2_resnet18_1xb32_cosine_40e_voc_animals"
    facts = show.show_correspondences(show.load_views(recipe, photos, images=2)).facts
    assert list(facts["providers"]) == ["not of the recipe: GeometricNearest, before training"]


def write_checkpoint(file, config, seed):
    torch.manual_seed(seed)
    learner = MODELS.build(config.model).eval()
    recipe = (
        f"model = {config.to_dict()['model']}\ntrain_dataloader = {dict(dataset=dict(views=[]))}"
    )
    meta = {"architecture": dict(type="ResNet", depth=18), "config": recipe}
    torch.save({"meta": meta, "state_dict": learner.state_dict()}, file)
    return learner


def test_vicregl_is_drawn_as_it_matches_its_projections(photos, tmp_path, monkeypatch):
    """Those of the recipe's head before training, of the checkpoint's head after it."""
    seen = show.load_views(VICREGL, photos, images=2)
    learners = [write_checkpoint(tmp_path / f"{seed}.pth", seen.config, seed) for seed in (0, 1)]
    maps = []
    match = KBestFeatures.forward

    def note(self, query, key, query_grid, key_grid):
        maps.append(query.last)
        return match(self, query, key, query_grid, key_grid)

    monkeypatch.setattr(KBestFeatures, "forward", note)
    show.show_correspondences(seen, tmp_path / "1.pth", seed=0)
    assert len(maps) == 4  # of either count, before and after
    for learner, found in zip(learners, maps[::2], strict=True):
        backbone = show.FrozenBackbone.wrap(learner.backbone)
        with torch.inference_mode():
            stage = backbone.stages(seen.views[0].image)[-2]
            expected = learner.objectives["vicregl"].head(stage)
        torch.testing.assert_close(found, expected)


def test_vicregl_needs_a_file_with_its_head(photos, tmp_path):
    seen = show.load_views(VICREGL, photos, images=1)
    file = tmp_path / "weights.pth"
    write_checkpoint(file, seen.config, 0)
    content = torch.load(file, weights_only=True)
    content["meta"].pop("config")  # as of exported weights
    torch.save(content, file)
    with pytest.raises(show.DenseCLError, match="no recipe, so its heads are not known"):
        show.show_correspondences(seen, file)
    options = {"model.objectives": seen.config.model.objectives[:1]}
    alone = show.load_views(VICREGL, photos, images=1, cfg_options=options)
    write_checkpoint(file, alone.config, 0)
    with pytest.raises(show.DenseCLError, match="was trained without vicregl"):
        show.show_correspondences(seen, file)


def test_features_of_a_backbone_with_one_map_are_drawn(photos):
    seen = show.load_views(RECIPE, photos, images=2)
    seen.config.model.backbone = dict(
        type="TimmBackbone", model_name="resnet10t", out_indices=[-1], pretrained=False
    )
    drawing = show.show_features(seen)
    assert drawing.facts["stages"] == {"stage -1, before training": {"cells": [3, 3]}}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (f"{VIEW}.crop.min_covr", 0.3, "min_covr"),
        (f"{VIEW}.crop.type", "ObjectCrops", "ObjectCrop"),
        ("model.objectives.0.temprature", 0.1, "temperature"),
    ],
)
def test_slips_in_a_recipe_are_named(photos, key, value, message):
    with pytest.raises(show.DenseCLError, match=message):
        show.load_views(RECIPE, photos, cfg_options={key: value})


def test_regions_that_only_one_view_shows_are_its_drops(photos):
    seen = show.load_views(RECIPE, photos, images=1)
    with pytest.raises(show.DenseCLError, match=r"dataset\.regions"):
        show.show_regions(seen)
    height, width = seen.views[0].view_size
    maps = torch.full((2, 1, height, width), -1, dtype=torch.int16)
    maps[0, 0, 0, :4] = torch.arange(4, dtype=torch.int16)  # regions 0 to 3
    maps[1, 0, 0, 0] = 3
    views = [
        replace(view, regions=RegionBatch(label_map=label_map))
        for view, label_map in zip(seen.views, maps, strict=True)
    ]
    facts = show.show_regions(replace(seen, views=views)).facts
    assert facts["images"][0]["regions_in_view"] == [4, 1]
    assert facts["images"][0]["drop_rate"] == [0.75, 0]
    assert facts["mean_drop_rate"] == 0.375


def test_label_maps_keep_what_is_no_region():
    image = np.full((4, 6, 3), 10, np.uint8)
    labels = np.full((4, 6), -1)
    labels[:, 3:] = 2
    drawn = draw_label_map(image, labels)
    assert (drawn[:, :3] == 10).all()
    assert (drawn[:, 3] == 255).all()  # the border
    assert (drawn[:, 4:] == drawn[0, 5]).all() and not (drawn[:, 4:] == 10).all()


def test_principal_colours_separate_what_features_separate():
    maps = np.zeros((2, 5, 2, 2))
    maps[0, 3], maps[1, 3, 0] = 4.0, 4.0  # the direction that varies
    maps[:, 1] = np.random.default_rng(0).normal(scale=1e-6, size=(2, 2, 2))
    colours = principal_colours(maps)
    red = colours[..., 0].astype(int)
    assert (red[0] == 255).all() and (red[1, 0] == 255).all() and (red[1, 1] == 0).all()


def test_command_writes_picture_and_numbers(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["show", "features", RECIPE, "--data", str(photos), "--out", str(out)]) == 0
    assert Image.open(out / "features.png").size[0] > 96 * 6
    stages = json.loads((out / "features.json").read_text())["stages"]
    assert stages["stage -1, before training"] == {"cells": [3, 3]}
    command = ["show", "views", RECIPE, "--data", str(photos), "--out", str(out)]
    assert main([*command, "--backbone", "x.pth"]) == 2
    assert "leave it out" in capsys.readouterr().err
    assert main([*command, "--images", "0"]) == 2
    assert "--images 0" in capsys.readouterr().err


def test_attention_is_that_of_the_pair_and_agrees_with_what_is_salient(photos):
    """The map of the recipe's layer; an image that shows nothing salient has no numbers."""
    recipe = "cast_resnet18_1xb32_cosine_40e_voc_animals"
    centre = {"train_dataloader.dataset.saliency": None, f"{VIEW}.crop.type": "RandomResizedCrop"}
    seen = show.load_views(recipe, photos, images=3, cfg_options=centre)
    with pytest.raises(show.DenseCLError, match=r"dataset\.saliency"):
        show_attention(seen)
    salient = torch.zeros(3, 96, 96, dtype=torch.bool)
    salient[:2, 20:60, 30:90] = True
    seen.views[:] = [replace(view, saliency=salient) for view in seen.views]
    drawing = show_attention(seen)
    assert drawing.facts["layer"] == "layer3"
    backbone = show.backbones(seen.config, None, 0)[show.BEFORE]
    images = [backbone.normalised(view.image) for view in seen.views]
    key = torch.where(salient[:, None], images[1], 0.0)
    expected = pair_grad_cam(backbone.module, images[0], key, "layer3")
    assert expected.shape == (3, 6, 6)
    cells = saliency_on_cells(salient, (6, 6))
    for row, fact in enumerate(drawing.facts["images"][:2]):
        cosine = torch.cosine_similarity(expected[row].flatten(), cells[row].flatten(), dim=0)
        numbers = fact[show.BEFORE]
        assert numbers["cosine_to_saliency"] == pytest.approx(float(cosine), abs=1e-3)
        peak = np.unravel_index(int(expected[row].argmax()), (6, 6))
        place = [int(16 * cell + 8) for cell in peak]
        assert numbers["pointing"] == float(salient[row, place[0], place[1]])
    assert drawing.facts["images"][2][show.BEFORE] is None


def test_what_a_rotation_fills_is_seen_by_nobody(photos):
    turned = {
        "train_dataloader.dataset.views.0.transforms": [dict(type="Rotate", limit=45, p=1.0)],
        "model.objectives.1.correspondence.type": "GeometricNearest",
    }
    seen = show.load_views(RECIPE, photos, images=3, cfg_options=turned)
    facts = show.show_views(seen).facts["images"]
    for fact, (left, right) in zip(facts, seen.places, strict=True):
        areas = [place.overlap_area(place) for place in (left, right)]
        shared = left.overlap_area(right) / min(areas)
        assert fact["overlap_of_smaller_with_view_0"] == [pytest.approx(shared, abs=1e-3)]
        assert fact["share_of_source"] == pytest.approx([a / 4800 for a in areas], abs=1e-3)
        # With the filled corners it would be more.
        assert areas[0] < abs(np.linalg.det(left.matrix[:, :2])) * np.prod(left.view_size)
    (fact,) = show.show_correspondences(seen).facts["providers"].values()
    assert fact["right"] == fact["matched"]


def test_matches_are_of_the_grid_of_the_head(photos):
    coarse = {"model.objectives.1.head.grid_size": 2}
    seen = show.load_views(RECIPE, photos, images=3, cfg_options=coarse)
    (fact,) = show.show_correspondences(seen).facts["providers"].values()
    assert fact["matched"] == 3 * 4


def test_regions_that_are_not_there_are_missed_at_once(photos):
    ids = {"model.objectives.1.correspondence": dict(type="RegionIds", _delete_=True)}
    seen = show.load_views(PIXPRO, photos, images=1, cfg_options=ids)
    with pytest.raises(DenseCLError, match="looks at the label map of regions"):
        show.show_correspondences(seen)
