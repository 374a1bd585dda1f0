"""The whole localisation: planted objects are found, baselines are what they should be."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.find_objects import LocalizationSettings, pair_attention, scaled
from dense_cl.evaluation.localization import evaluate_localization
from dense_cl.evaluation.object_files import MaskImages
from dense_cl.evaluation.objects import AnnotatedImages, ImageObjects
from dense_cl.sources.base import UnreadableImageError
from dense_cl.sources.selection import evenly_spread
from dense_cl.sources.synthetic.writer import generate_scenes

SIZE, CELL = 128, 16
BOXES = [(32, 48, 80, 112), (16, 16, 48, 64), (64, 0, 128, 32)]


class RedCells(nn.Module):
    """Cells of 16 pixels: red ones and the others have opposite features on the first stage."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        red = F.avg_pool2d(image[:, :1] - image[:, 1:2], CELL) > 1
        sign = torch.where(red, 1.0, -1.0)
        return torch.cat([sign, -sign], dim=1), torch.cat([red, ~red], dim=1).float()


class RedBoxes(AnnotatedImages):
    """Grey photos with one red box each, aligned with the cells; the last cannot be read."""

    def __init__(self, moved: int = 0) -> None:
        self.moved = moved

    def __len__(self) -> int:
        return len(BOXES) + 2

    def name(self, index: int) -> str:
        return f"{index}.png"

    def load(self, index: int) -> ImageObjects:
        if index == len(BOXES):
            raise UnreadableImageError(self.name(index), "truncated")
        image = np.full((SIZE, SIZE, 3), 90, np.uint8)
        if index > len(BOXES):
            return ImageObjects(image, np.zeros((0, 4)), None, (), outside=2)
        x1, y1, x2, y2 = BOXES[index]
        image[y1:y2, x1:x2] = [250, 20, 20]
        mask = np.zeros((1, SIZE, SIZE), dtype=bool)
        mask[0, y1:y2, x1:x2] = True
        mask = np.roll(mask, self.moved, axis=2)
        box = np.array([[x1 + self.moved, y1, x2 + self.moved, y2]], dtype=np.float64)
        return ImageObjects(image, box, mask, ("box",))


SETTINGS = LocalizationSettings(stage=0, size=SIZE, k_patches=8)


def test_planted_objects_are_found_exactly() -> None:
    seen = []
    result = evaluate_localization(
        RedCells(), RedBoxes(), SETTINGS, observe=lambda *shown: seen.append(shown)
    )
    scores = result["scores"]
    for finder in ("lost", "token_cut"):
        assert scores["corloc"][finder] == 1.0
        assert result["intervals"]["corloc"][finder] == [1.0, 1.0]
        assert scores["box_iou"][finder] == 1.0
        shares = [(x2 - x1) * (y2 - y1) / SIZE**2 for x1, y1, x2, y2 in BOXES]
        assert scores["box_share"][finder] == pytest.approx(np.mean(shares))
        # Cells are enlarged bilinearly, so that only the border differs from the mask.
        assert scores["max_f"][finder] > 0.9
        assert scores["mae"][finder] < 0.05
        assert scores["s_measure"][finder] > 0.9
    assert [record["boxes"]["lost"] for record in result["records"]] == [list(b) for b in BOXES]
    assert (result["images"], result["images_with_masks"]) == (3, 3)
    assert result["left_out"] == {
        "images_without_objects": 1,
        "objects_outside": 2,
        "unreadable": [{"image": "3.png", "reason": "truncated"}],
    }
    assert json.loads(json.dumps(result)) == result
    assert [record["image"] for record, _, _ in seen] == ["0.png", "1.png", "2.png"]


def test_a_folder_of_masks_scores_as_the_masks_themselves(tmp_path: Path) -> None:
    for number in range(len(BOXES)):
        objects = RedBoxes().load(number)
        for kind, array in (("images", objects.image), ("masks", objects.region)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / kind / f"{number}.png")
    files = MaskImages(tmp_path / "images", tmp_path / "masks")
    found, expected = (evaluate_localization(RedCells(), i, SETTINGS) for i in (files, RedBoxes()))
    assert found["images_with_masks"] == 3
    assert found["scores"] == expected["scores"]


def test_objects_elsewhere_are_missed() -> None:
    result = evaluate_localization(RedCells(), RedBoxes(moved=-64), SETTINGS, limit=1)
    assert result["scores"]["corloc"]["token_cut"] == 0.0
    assert result["images"] == 1


def test_baselines_have_closed_forms() -> None:
    result = evaluate_localization(RedCells(), RedBoxes(), SETTINGS)
    shares = [(x2 - x1) * (y2 - y1) / SIZE**2 for x1, y1, x2, y2 in BOXES]
    assert result["scores"]["pointing"]["random"] == pytest.approx(np.mean(shares))
    whole = [record["box_iou"]["whole_image"] for record in result["records"]]
    assert whole == pytest.approx(shares)
    # Centre point: an 8 x 8 grid has four central cells, at 56 and 72 pixels.
    hits = [
        np.mean([x1 <= x < x2 and y1 <= y < y2 for x in (56, 72) for y in (56, 72)])
        for x1, y1, x2, y2 in BOXES
    ]
    assert [r["pointing"]["centre"] for r in result["records"]] == pytest.approx(hits)


def test_the_seed_decides_all_draws() -> None:
    first, same = (evaluate_localization(RedCells(), RedBoxes(), SETTINGS) for _ in range(2))
    assert first == same
    settings = LocalizationSettings(stage=0, size=SIZE, k_patches=8, seed=1)
    other = evaluate_localization(RedCells(), RedBoxes(), settings)
    assert other["records"][0]["box_iou"] != first["records"][0]["box_iou"]  # random boxes


def test_attention_is_grad_cam_of_the_cosine() -> None:
    maps_CHW = torch.rand(5, 4, 6, dtype=torch.float64)
    keys_KC = torch.rand(3, 5, dtype=torch.float64)
    query = maps_CHW.mean(dim=(1, 2))
    unit = query / query.norm()
    expected = torch.zeros(4, 6, dtype=torch.float64)
    for key in keys_KC:
        direction = key / key.norm()
        # Derivative of the cosine by the pooled query; each place has a 24th of it.
        alpha = (direction - (direction @ unit) * unit) / query.norm() / 24
        expected += torch.einsum("c,chw->hw", alpha, maps_CHW).clamp(min=0) / 3
    torch.testing.assert_close(pair_attention(maps_CHW, keys_KC), expected)


def test_attention_marks_what_the_key_shows_more_of() -> None:
    object_HW = torch.zeros(4, 5)
    object_HW[1:3, 2:4] = 1
    found = pair_attention(torch.stack([object_HW, 1 - object_HW]), torch.tensor([[0.9, 0.1]]))
    assert torch.equal(found > 0, object_HW > 0)


def test_scaled_sides_are_multiples_of_32() -> None:
    assert scaled(np.zeros((48, 64, 3), np.uint8), 128).shape == (96, 128, 3)
    assert scaled(np.zeros((213, 320, 3), np.uint8), 320).shape == (224, 320, 3)
    assert scaled(np.zeros((300, 2, 3), np.uint8), 100).shape == (96, 32, 3)


def test_limit_is_spread_evenly() -> None:
    assert evenly_spread(10, 99) == list(range(10))
    assert evenly_spread(11, 3) == [0, 5, 10]
    with pytest.raises(DenseCLError, match="--limit is 0"):
        evaluate_localization(RedCells(), RedBoxes(), SETTINGS, limit=0)


def test_attention_is_drawn_on_photos_that_have_objects(tmp_path: Path) -> None:
    result = evaluate_localization(RedCells(), RedBoxes(), SETTINGS, pictures=tmp_path / "drawn")
    names = [record["pictures"]["Grad-CAM"] for record in result["records"]]
    assert names == [f"drawn/{number:05}-Grad-CAM.jpg" for number in range(3)]
    assert len(list((tmp_path / "drawn").iterdir())) == 2 * 3  # and the photos themselves
    for record, name, (x1, y1, x2, y2) in zip(result["records"], names, BOXES, strict=True):
        picture = np.asarray(Image.open(tmp_path / name)).astype(float)
        assert picture.shape == (240, 240, 3)
        box = np.zeros((240, 240), bool)
        top, bottom, left, right = (240 * side // SIZE for side in (y1, y2, x1, x2))
        box[top:bottom, left:right] = True
        # Half of the photo and half of the map's colours, brightest where the map is highest.
        heat = 2 * picture - np.where(box[..., None], [250, 20, 20], 90)
        assert (heat[box].mean() > heat[~box].mean()) == record["pointing"]["grad_cam"]


class _Nothing(RedBoxes):
    def load(self, index: int) -> ImageObjects:
        return super().load(len(BOXES) + index)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(size=8), "size is 32 or more"),
        (dict(keys=0), "keys are positive"),
        (dict(threshold=1.0), "threshold is between"),
        (dict(tau=1.0), "tau is between"),
        (dict(seed=-1), "seed is 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict, message: str) -> None:
    with pytest.raises(DenseCLError, match=message):
        LocalizationSettings(**change)


def test_no_object_and_no_such_stage_are_refused() -> None:
    with pytest.raises(DenseCLError, match="none of 2 images has an object to find: 1 have none"):
        evaluate_localization(RedCells(), _Nothing(), SETTINGS, limit=2)
    with pytest.raises(DenseCLError, match="stage 7 does not exist"):
        evaluate_localization(RedCells(), RedBoxes(), LocalizationSettings(stage=7, size=SIZE))


def test_command_line_writes_result_and_page(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    labels = generate_scenes(tmp_path / "scenes", {"val": 3}, size=(48, 64))["val"]
    out, page = tmp_path / "deep/result.json", tmp_path / "other/page.html"
    status = main([
        "evaluate", "localization", "--backbone", "random", "--annotations", str(labels),
        "--size", "64", "--seed", "3", "--out", str(out), "--report", str(page),
    ])  # fmt: skip
    assert status == 0
    result = json.loads(out.read_text())
    assert (result["images"], result["images_with_masks"]) == (3, 3)
    assert result["settings"]["seed"] == 3
    printed = capsys.readouterr().out
    assert f"{100 * result['scores']['corloc']['lost']:.1f}" in printed
    html = page.read_text()
    assert html.count("data:image/jpeg;base64,") == 3 and 'src="http' not in html
    worst = min(
        result["records"],
        key=lambda r: r["box_iou"]["lost"] + r["box_iou"]["token_cut"] + r["iou"]["grad_cam"],
    )
    places = [html.index(f"<figcaption>{record['image']}:") for record in result["records"]]
    assert min(places) == html.index(f"<figcaption>{worst['image']}:")


def test_command_line_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["evaluate", "localization", "--backbone", "random", "--images", str(tmp_path)]
    assert main(arguments) == 2
    assert "give either --annotations" in capsys.readouterr().err
