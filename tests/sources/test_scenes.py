"""Synthetic scenes: the same every time, labels that agree, one factor at a time."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.registry import SOURCES
from dense_cl.sources import CocoSource
from dense_cl.sources.synthetic import (
    CATEGORIES,
    FACTORS,
    generate_scenes,
    render,
    sample_scene,
    sweep,
    vary,
)
from dense_cl.sources.synthetic.lighting import Light
from dense_cl.sources.synthetic.shapes import SHAPES, deform

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes")
    generate_scenes(out, {"train": 40, "val": 3}, size=(96, 128), seed=3, labelled=5)
    return out


def test_same_bits_in_another_process() -> None:
    script = (
        "import hashlib\n"
        "from dense_cl.sources.synthetic import render, sample_scene\n"
        "for i in range(3):\n"
        "    r = render(sample_scene(5, i, (80, 100)))\n"
        "    print(hashlib.sha256(r.image.tobytes() + r.instances.tobytes()).hexdigest())\n"
    )
    answers = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                       cwd=REPOSITORY).stdout
        for _ in range(2)
    }  # fmt: skip
    assert len(answers) == 1 and len(set(answers.pop().split())) == 3


def test_seed_split_and_index_each_matter() -> None:
    images = [
        render(sample_scene(seed, index, (64, 64), split)).image
        for seed, index, split in [(0, 0, "train"), (1, 0, "train"), (0, 1, "train"), (0, 0, "val")]
    ]
    assert len({image.tobytes() for image in images}) == 4


def test_every_category_appears_and_scenes_hold_several_objects(folder: Path) -> None:
    coco = json.loads((folder / "annotations" / "instances_train.json").read_text())
    assert len(CATEGORIES) >= 12
    counts = Counter(item["category_id"] for item in coco["annotations"])
    assert set(counts) == set(range(1, len(CATEGORIES) + 1))
    per_image = Counter(item["image_id"] for item in coco["annotations"])
    assert np.mean(list(per_image.values())) >= 3


def test_coco_masks_boxes_and_semantic_maps_agree(folder: Path) -> None:
    coco = COCO(folder / "annotations" / "instances_train.json")
    for image in coco.loadImgs(coco.getImgIds()):
        stem = Path(image["file_name"]).stem
        picture = cv2.imread(str(folder / "train" / image["file_name"]))
        assert picture.shape == (image["height"], image["width"], 3) == (96, 128, 3)
        semantic = cv2.imread(str(folder / "semantic" / "train" / f"{stem}.png"), -1)
        factors = json.loads((folder / "factors" / "train" / f"{stem}.json").read_text())
        rebuilt = np.zeros_like(semantic)
        for item in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask = coco.annToMask(item).astype(bool)
            assert not rebuilt[mask].any()  # instances do not overlap
            rebuilt[mask] = item["category_id"]
            rows, columns = np.nonzero(mask)
            x, y, width, height = item["bbox"]
            assert (columns.min(), columns.max() + 1) == (x, x + width)
            assert (rows.min(), rows.max() + 1) == (y, y + height)
            assert item["area"] == mask.sum() >= 16 and item["iscrowd"] == 0
            thing = factors["objects"][item["object"]]
            assert CATEGORIES[item["category_id"] - 1] == thing["category"]
            assert thing["visible_area"] == item["area"] <= thing["amodal_area"]
        np.testing.assert_array_equal(rebuilt, semantic)


def test_labelled_subset_is_the_first_scenes_and_finds_its_images(folder: Path) -> None:
    subset = CocoSource(folder / "annotations" / "instances_train_labelled.json")
    assert [Path(subset.name(i)).name for i in range(len(subset))] == [
        f"{i:06d}.jpg" for i in range(5)
    ]
    assert Path(subset.root) == folder / "train"


def test_folder_is_reused_or_refused(folder: Path, tmp_path: Path) -> None:
    arguments = {"size": (96, 128), "seed": 3, "labelled": 5}
    before = (folder / "train" / "000000.jpg").stat().st_mtime_ns
    again = generate_scenes(folder, {"train": 40, "val": 3}, **arguments)
    assert set(again) == {"train", "val", "train_labelled"}
    assert (folder / "train" / "000000.jpg").stat().st_mtime_ns == before
    with pytest.raises(DenseCLError, match="other settings"):
        generate_scenes(folder, {"train": 41, "val": 3}, **arguments)
    progress = []
    files = generate_scenes(
        tmp_path / "more", {"train": 12}, workers=2, progress=lambda *p: progress.append(p),
        size=(96, 128), seed=3,
    )  # fmt: skip
    assert progress == [(i, 12) for i in range(1, 13)]
    # Two processes and another number of scenes: the first scenes are the same.
    few, many = (
        json.loads((root / "annotations" / "instances_train.json").read_text())["annotations"]
        for root in (tmp_path / "more", folder)
    )
    assert few == many[: len(few)] and len(files) == 1
    for index in range(12):
        name = f"train/{index:06d}.jpg"
        assert (tmp_path / "more" / name).read_bytes() == (folder / name).read_bytes()


@pytest.fixture(scope="module")
def scene():
    return sample_scene(1, 4, (128, 160))


def test_light_colour_changes_channel_gains_only(scene) -> None:
    plain, red = (
        render(vary(scene, "illumination_colour", gains)) for gains in [(1, 1, 1), (0.5, 1, 1)]
    )
    np.testing.assert_array_equal(plain.instances, red.instances)
    np.testing.assert_array_equal(plain.image[..., 1:], red.image[..., 1:])
    middling = (plain.image[..., 0] > 40) & (plain.image[..., 0] < 250)
    # Half the red, up to sensor noise (3 levels standard deviation, added after the light).
    difference = red.image[..., 0][middling] - plain.image[..., 0][middling] / 2
    assert abs(np.median(difference)) < 1.5 and np.percentile(np.abs(difference), 99) < 8


def test_light_direction_moves_shading_and_shadows_not_masks(scene) -> None:
    left, right = (
        render(vary(scene, "illumination_direction", (azimuth, 40))) for azimuth in (180, 0)
    )
    np.testing.assert_array_equal(left.instances, right.instances)
    bright = [np.diff(r.image.mean(axis=(0, 2))[[0, -1]])[0] for r in (left, right)]
    assert bright[0] < 0 < bright[1]  # the side of the lamp is the brighter one


def test_shading_of_a_slope_is_lambert() -> None:
    slope = np.tile(np.arange(20, dtype=np.float32), (20, 1))  # rises to the right at 45 degrees
    lamp = Light.from_angles(180, 45)  # from the left: meets the slope at a right angle
    shade, highlight = lamp.shade(slope)
    flat, _ = lamp.shade(np.zeros((20, 20), np.float32))
    np.testing.assert_allclose(flat, 1, rtol=1e-6)
    # 0.45 ambient + 0.55 times cos(0) over the cos(45) of flat ground.
    np.testing.assert_allclose(shade[5:-5, 5:-5], 0.45 + 0.55 * np.sqrt(2), rtol=1e-5)
    assert not highlight.any()
    assert lamp.shadow_offset(10) == pytest.approx((10, 0))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_occluder_covers_its_share(scene, share: float) -> None:
    free, covered = (render(vary(scene, "occlusion", level)) for level in (0, share))
    assert free.amodal_area == covered.amodal_area
    nearest = len(scene.objects) - 1  # nothing else is in front of it
    assert free.visible_area[nearest] == free.amodal_area[nearest]
    left = covered.visible_area[nearest] / covered.amodal_area[nearest]
    assert left == pytest.approx(1 - share, abs=0.02)


def test_other_individual_in_the_same_place(scene) -> None:
    one, two = (render(vary(scene, "identity", identity)) for identity in (0, 1))
    both = (one.instances == two.instances) & (one.instances > 0)
    # Proportions differ a little, the place and the category not at all.
    assert both.sum() > 0.6 * max((one.instances > 0).sum(), (two.instances > 0).sum())
    assert np.abs(one.image[both].astype(int) - two.image[both]).mean() > 15
    outside = cv2.dilate(((one.instances > 0) | (two.instances > 0)).astype(np.uint8),
                         np.ones((61, 61))) == 0  # fmt: skip
    np.testing.assert_array_equal(one.image[outside], two.image[outside])


def test_tilt_foreshortens(scene) -> None:
    areas = [sum(render(vary(s, "occlusion", 0)).amodal_area) for s in sweep(scene, "viewpoint", 4)]
    assert areas == sorted(areas, reverse=True) and areas[-1] < 0.85 * areas[0]


@pytest.mark.parametrize("factor", FACTORS)
def test_sweep_changes_one_factor(scene, factor: str) -> None:
    steps = sweep(scene, factor, 3)
    assert len({render(step).image.tobytes() for step in steps}) == 3
    for step in steps:
        assert vary(step, factor, getattr(scene, factor)) == scene


def test_factors_out_of_range(scene) -> None:
    with pytest.raises(DenseCLError, match="Did you mean 'viewpoint'"):
        vary(scene, "viewpont", 1)
    for factor, value in [("occlusion", 1), ("viewpoint", (80, 0, 0)), ("viewpoint", (1, 2)),
                          ("illumination_direction", (0, 0)),
                          ("illumination_colour", (1, -1, 1))]:  # fmt: skip
        with pytest.raises(DenseCLError, match="out of range"):
            vary(scene, factor, value)


@pytest.mark.parametrize("name", CATEGORIES)
def test_individuals_fill_the_unit_disc(name: str) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        bent = deform(SHAPES[name](rng), rng)
        reach = max(np.linalg.norm(contour, axis=1).max() for contour in bent)
        assert reach == pytest.approx(1)
        if name in ("ring", "gear"):  # the hole stays inside
            outer, hole = (np.linalg.norm(contour, axis=1) for contour in bent)
            assert hole.max() < outer.max()


def test_source_renders_what_the_generator_writes(folder: Path) -> None:
    config = {"type": "SyntheticScenes", "count": 40, "size": (96, 128), "seed": 3}
    source = SOURCES.build(config)
    assert len(source) == 40 and source.name(7).endswith("/train/000007")
    written = cv2.imread(str(folder / "train" / "000007.jpg"))[..., ::-1].astype(int)
    assert np.abs(source.load(7) - written).mean() < 8  # JPEG
    assert source.load(7).flags.c_contiguous
    assert source.fingerprint() != SOURCES.build(dict(config, seed=4)).fingerprint()
    for wrong in ({"count": 0}, {"size": (8, 8)}, {"seed": -1}):
        with pytest.raises(DenseCLError):
            SOURCES.build({**config, **wrong})


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scenes"
    command = ["scenes", "--out", str(out), "--train", "2", "--val", "1", "--size", "96x64"]
    assert main([*command, "--format", "png"]) == 0
    assert cv2.imread(str(out / "train" / "000001.png")).shape == (64, 96, 3)
    assert "instances_val.json" in capsys.readouterr().out
    assert main([*command[:-1], "96"]) == 2
    assert main(["scenes", "--out", str(tmp_path / "x"), "--train", "2", "--labelled", "3"]) == 2
    assert main(["scenes", "--out", str(tmp_path / "y"), "--size", "8x8"]) == 2
    assert not (tmp_path / "y").exists()
