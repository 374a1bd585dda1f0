"""Mining: what is found, by brute force; that a killed run goes on; what is refused."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.labelled_images import central_square
from dense_cl.mining import mine as mining
from dense_cl.mining.mine import mine
from dense_cl.mining.object_pairs import ObjectPairs
from dense_cl.mining.settings import MiningSettings
from dense_cl.transfer.encoder import load_encoder
from dense_cl.views.crops import crop_and_resize
from tests.mining.planted import PlantedRegions, PlantedSource, write_encoder

# Neighbouring photos share one object, at another place; the others are theirs alone.
OBJECTS = [[0, 10, 11], [12, 0, 13], [1, 14, 15], [16, 17, 1], [2, 18], [19, 2]]
SETTINGS = MiningSettings(neighbours=2, keep=0.4, min_size=20, size=32)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    torch.manual_seed(3)
    return write_encoder(tmp_path_factory.mktemp("encoder") / "stage1.pth")


def inputs(objects=OBJECTS, broken=()):
    return PlantedSource(objects, broken), PlantedRegions(objects)


def brute_force(file, source, regions, settings):
    """The same in loops, float64, one crop at a time."""
    encoder = load_encoder(file).double().eval()

    def vector(crop, head):
        image = (torch.from_numpy(crop).double() - 127) / 60
        with torch.no_grad():
            pooled = encoder.backbone(image.permute(2, 0, 1)[None])[-1].mean(dim=(2, 3))
            out = (encoder.head(pooled) if head else pooled)[0].numpy()
        return out / np.sqrt((out**2).sum())

    wholes, rois, boxes = [], [], []
    for index in range(len(source)):
        image = source.load(index)
        wholes.append(vector(central_square(image, settings.size), True))
        chosen = [
            box
            for box in regions(image, index).boxes.astype(int).tolist()
            if min(box[2] - box[0], box[3] - box[1]) >= settings.min_size
            and max(box[2] - box[0], box[3] - box[1])
            <= settings.max_aspect * min(box[2] - box[0], box[3] - box[1])
        ]
        size = settings.size, settings.size
        rois.append([vector(crop_and_resize(image, tuple(box), size), False) for box in chosen])
        boxes.append(chosen)
    neighbours, pairs = [], []
    for index in range(len(source)):
        others = [other for other in range(len(source)) if other != index]
        others.sort(key=lambda other: -(wholes[index] @ wholes[other]))
        neighbours.append(others[: settings.neighbours])
        for other in neighbours[-1]:
            ranked = sorted(
                itertools.product(range(len(boxes[index])), range(len(boxes[other]))),
                key=lambda ab: -(rois[index][ab[0]] @ rois[other][ab[1]]),
            )
            kept = ranked[: max(1, int(settings.keep * len(boxes[index])))]
            pairs.append([[boxes[index][a], boxes[other][b]] for a, b in kept])
    return neighbours, pairs


def test_equals_brute_force(encoder, tmp_path):
    source, regions = inputs()
    found = mine(encoder, source, regions, tmp_path / "pairs.npz", SETTINGS)
    neighbours, pairs = brute_force(encoder, source, regions, SETTINGS)
    assert found.neighbours.tolist() == neighbours
    assert [found.pairs_of(i, k).tolist() for i in range(6) for k in range(2)] == pairs
    assert [len(found.boxes_of(i)) for i in range(6)] == [3, 3, 3, 3, 2, 2]
    assert not (tmp_path / "pairs.npz.parts").exists()


def test_planted_objects_are_matched(encoder, tmp_path):
    """With all photos as neighbours, the best pair of two that share an object is that object."""
    source, regions = inputs()
    settings = MiningSettings(neighbours=5, keep=0.1, min_size=20, size=32)
    found = mine(encoder, source, regions, tmp_path / "pairs.npz", settings)
    for first in range(6):
        second = first + 1 if first % 2 == 0 else first - 1
        (rank,) = np.flatnonzero(found.neighbours[first] == second)
        (pair,) = found.pairs_of(first, rank)
        for index, box in ((first, pair[0]), (second, pair[1])):
            place = [tuple(b[:2]) for b in found.boxes_of(index).tolist()].index(tuple(box[:2]))
            assert OBJECTS[index][place] == first // 2


def test_a_file_without_a_head_compares_images_by_the_backbone(tmp_path):
    torch.manual_seed(3)
    file = write_encoder(tmp_path / "stage1.pth", head=False)
    source, regions = inputs()
    found = mine(file, source, regions, tmp_path / "pairs.npz", SETTINGS)
    assert found.neighbours.tolist() == brute_force(file, source, regions, SETTINGS)[0]


def test_read_back_and_provenance(encoder, tmp_path):
    source, regions = inputs(broken=(3,))
    made = mine(encoder, source, regions, tmp_path / "pairs.npz", SETTINGS)
    read = ObjectPairs.read(tmp_path / "pairs.npz")
    assert read.fingerprint == made.fingerprint and read.meta == made.meta
    assert read.meta["data_fingerprint"] == source.fingerprint()
    assert read.meta["regions"] == {"type": "places"} and read.meta["keep"] == 0.4
    assert read.meta["unreadable"] == {"planted/3.png": "truncated"}
    assert read.neighbours[3].tolist() == [-1, -1] and len(read.boxes_of(3)) == 0
    assert 3 not in read.neighbours and len(read.pairs_of(3, 1)) == 0


class Killed(BaseException):
    """Stands for kill -9 within one process."""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_goes_on_without_doing_work_twice(encoder, tmp_path, monkeypatch, workers):
    monkeypatch.setattr("dense_cl.mining.features.PART", 2)
    source, regions = inputs()
    whole = mine(encoder, source, regions, tmp_path / "whole.npz", SETTINGS)

    def kill(done, total):
        if done == 5:
            raise Killed

    out = tmp_path / "pairs.npz"
    with pytest.raises(Killed):
        mine(encoder, source, regions, out, SETTINGS, workers, kill)
    assert not out.exists()
    seen = []
    again = mine(
        encoder, source, regions, out, SETTINGS, workers, lambda done, total: seen.append(done)
    )
    assert seen == [5, 6]  # two parts of two photos were kept
    assert again.fingerprint == whole.fingerprint
    assert out.read_bytes() == (tmp_path / "whole.npz").read_bytes()
    monkeypatch.setattr(mining, "extract", None)  # nothing is left to do
    assert mine(encoder, source, regions, out, SETTINGS).fingerprint == whole.fingerprint


def test_other_inputs_are_refused(encoder, tmp_path):
    source, regions = inputs()
    out = tmp_path / "pairs.npz"

    def stop(done, total):
        raise Killed

    with pytest.raises(Killed):
        mine(encoder, source, regions, out, SETTINGS, progress=stop)
    other = MiningSettings(neighbours=2, keep=0.5, min_size=20, size=32)
    with pytest.raises(DenseCLError, match="parts' was begun with.*keep was 0.4 and is now 0.5"):
        mine(encoder, source, regions, out, other)
    mine(encoder, source, regions, out, SETTINGS)
    with pytest.raises(DenseCLError, match="pairs.npz' was made with.*keep was 0.4 and is now 0.5"):
        mine(encoder, source, regions, out, other)
    with pytest.raises(DenseCLError, match="data_fingerprint"):
        mine(encoder, PlantedSource(OBJECTS[:5]), regions, out, SETTINGS)


@pytest.mark.parametrize("workers", [0, 1])
def test_regions_without_boxes_are_refused_in_one_line(encoder, tmp_path, workers):
    source, regions = inputs()
    regions.objects = None  # then there are no boxes
    with pytest.raises(DenseCLError, match="^mining: these regions have no boxes") as error:
        mine(encoder, source, regions, tmp_path / "pairs.npz", SETTINGS, workers)
    assert "Traceback" not in str(error.value)


def test_what_makes_no_sense_is_refused(encoder, tmp_path):
    with pytest.raises(DenseCLError, match=r"5 neighbours.*need 6 images.*there are 5"):
        mine(
            encoder,
            *inputs(broken=(0,)),
            tmp_path / "pairs.npz",
            MiningSettings(neighbours=5, min_size=20, size=32),
        )
    with pytest.raises(DenseCLError, match="keep=0"):
        MiningSettings(keep=0)
    with pytest.raises(DenseCLError, match="nowhere.pth' does not exist"):
        mine("nowhere.pth", *inputs(), tmp_path / "pairs.npz", SETTINGS)


def test_a_number_of_workers_below_zero_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["mine", "RECIPE", "--backbone", "FILE", "--workers", "-1"])
    assert "-1 is out of range; it is 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no archive", "cut", "other"])
def test_damaged_files_are_named(encoder, tmp_path, content):
    out = tmp_path / "pairs.npz"
    with pytest.raises(DenseCLError, match="pairs.npz' do not exist"):
        ObjectPairs.read(out)
    if content == "cut":
        mine(encoder, *inputs(), out, SETTINGS)
        out.write_bytes(out.read_bytes()[:-200])
    elif content == "other":
        np.savez(out, boxes=np.zeros(3))
    else:
        out.write_bytes(content)
    with pytest.raises(DenseCLError, match="pairs.npz' is no file of 'dense-cl mine'"):
        ObjectPairs.read(out)


def test_photos_that_were_mended_are_mined(encoder, tmp_path):
    source, regions = inputs(broken=(0,))
    first = mine(encoder, source, regions, tmp_path / "pairs.npz", SETTINGS)
    assert mine(encoder, source, regions, tmp_path / "pairs.npz", SETTINGS).meta == first.meta
    mended = mine(encoder, *inputs(), tmp_path / "pairs.npz", SETTINGS)
    assert len(first.meta["unreadable"]) == 1 and not mended.meta["unreadable"]
    assert len(mended.boxes) > len(first.boxes)


def test_too_few_photos_are_known_before_the_work(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(mining, "extract", None)
    with pytest.raises(DenseCLError, match=r"6 neighbours.*need 7 images.*there are 6"):
        mine(encoder, *inputs(), tmp_path / "p.npz", MiningSettings(neighbours=6, size=32))
