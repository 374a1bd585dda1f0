"""The samples of ORL's third stage: which patch is which, and that nothing is left to chance."""

import random
from dataclasses import asdict

import numpy as np
import pytest
import torch
from fakes import NoiseSource
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from dense_cl.errors import DenseCLError
from dense_cl.mining.candidates import candidate_boxes, overlap
from dense_cl.mining.object_pairs import ObjectPairs
from dense_cl.mining.settings import MiningSettings
from dense_cl.regions.provider import RegionProvider
from dense_cl.regions.regions import ImageRegions
from dense_cl.views.box_jitter import BoxJitter
from dense_cl.views.collate import collate_views
from dense_cl.views.crops import Crop
from dense_cl.views.dataset import Unreadable
from dense_cl.views.group import ViewGroup
from dense_cl.views.object_pairs import ObjectPairDataset, PatchGroup

IMAGES = 6
BOXES = np.array([[1, 2, 21, 32], [5, 5, 37, 29], [10, 0, 35, 36]], dtype=np.int32)
VIEW = dict(type="ViewGroup", count=2, size=(24, 24), crop=dict(type="RandomResizedCrop"))
PLAIN = dict(type="PatchGroup", size=(12, 16))
FLIPPED = dict(PLAIN, transforms=[dict(type="HorizontalFlip", p=1.0)])


class Ramp(NoiseSource):
    """Image i is the number i everywhere in blue, and its own coordinates in red and green."""

    def load(self, index):
        super().load(index)  # may be unreadable
        y, x = np.mgrid[:40, :50]
        return np.stack([x * 5, y * 6, np.full_like(x, index)], axis=2).astype(np.uint8)


class Places(RegionProvider):
    """A provider that is asked for its settings only."""

    def __call__(self, image, index):
        raise AssertionError("training does not look for regions")

    def settings(self):
        return {"type": type(self).__name__}


class Others(Places):
    pass


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path / "pairs.npz")


def write_pairs(file, readable=IMAGES):
    """Image i has the neighbours i + 1 and i + 2; its box b is paired with their box b + 1.

    The boxes of image i are BOXES, a pixel further right for odd i; unreadable ones have none.
    """
    counts = [len(BOXES) if i < readable else 0 for i in range(IMAGES)]
    near = np.add.outer(np.arange(IMAGES), [1, 2]) % IMAGES
    steps = np.array([[0, 1], [1, 2]])
    rows = [3 * np.array([[i, j]]) + steps for i in range(IMAGES) for j in near[i]]
    made = ObjectPairs(
        boxes=np.concatenate([BOXES + [i % 2, 0, i % 2, 0] for i in range(readable)]).astype("i4"),
        box_starts=np.concatenate([[0], np.cumsum(counts)]),
        neighbours=near.astype(np.int32),
        pairs=np.concatenate(rows).astype(np.int32),
        pair_starts=2 * np.arange(2 * IMAGES + 1),
        meta={
            "data_fingerprint": f"noise-{IMAGES}",
            "regions": {"type": "Places"},
            **asdict(MiningSettings()),
        },
    )
    file.write_bytes(made.to_bytes())
    return str(file)


def build(pairs, broken=(), patches=(PLAIN, FLIPPED), **options):
    return ObjectPairDataset(Ramp(IMAGES, broken), [VIEW], pairs, patches, **options)


def source_box(view):
    """The box that a view shows, by its geometry and by its pixels."""
    corners = view.geometry.outline()
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    red, green = (view.image[..., c].astype(float) / s for c, s in ((0, 5), (1, 6)))
    centre = np.array([red.mean(), green.mean()]) + 0.5
    np.testing.assert_allclose(centre, (box[:2] + box[2:]) / 2, atol=0.3)
    return box.round().astype(int).tolist()


def test_patches_are_what_they_are_said_to_be(pairs):
    dataset = build(pairs)
    drawn = set()
    for epoch in range(60):
        sample = dataset[(epoch, 4)]
        assert [v.geometry.view_size for v in sample.views] == [(24, 24)] * 2 + [(12, 16)] * 4
        assert [v.other_image for v in sample.views] == [False] * 5 + [True]
        shown = [int(v.image[0, 0, 2]) for v in sample.views]
        assert shown[:5] == [4] * 5 and shown[5] in (5, 0)
        region, moved, own, other = (source_box(view) for view in sample.views[2:])
        assert region in BOXES.tolist() and overlap(region, [moved]) > 0.5
        # The partner's box is the next one, a pixel to the right in images of odd number.
        expected = BOXES[BOXES.tolist().index(own) + 1] + [shown[5] % 2, 0, shown[5] % 2, 0]
        assert other == expected.tolist()
        # The second of a pair goes through the second group: it is flipped.
        assert [v.geometry.matrix[0, 0] < 0 for v in sample.views[2:]] == [False, True] * 2
        drawn.add((tuple(region), tuple(own), shown[5]))
    regions, owns, partners = (set(values) for values in zip(*drawn, strict=True))
    assert len(regions) == 3 and len(owns) == 2 and partners == {5, 0}


def test_every_view_shows_what_is_salient_in_its_own_image(pairs):
    class RightOf(RegionProvider):
        """Salient are the columns from 5 times the number of the image on."""

        def __call__(self, image, index):
            columns = np.arange(image.shape[1]) >= 5 * image[0, 0, 2]
            return ImageRegions(np.where(columns, 0, -1).astype(np.int16)[None].repeat(40, 0))

    dataset = build(pairs, saliency=RightOf())
    for epoch in range(10):
        for view in dataset[(epoch, 4)].views:
            centre = view.geometry.cell_centres(view.geometry.view_size)[:, 0]
            expected = np.floor(centre) >= 5 * int(view.image[0, 0, 2])
            np.testing.assert_array_equal(view.saliency.ravel(), expected)


def test_the_same_whatever_the_workers_and_the_order(pairs):
    dataset = build(pairs, broken=(3,))
    keys = [(2, index) for index in range(IMAGES)]

    def load(keys, workers, data=dataset):
        loader = DataLoader(data, 2, sampler=keys, num_workers=workers, collate_fn=collate_views)
        return {
            index: [view.image[row] for view in batch["views"]]
            for batch in loader
            for row, index in enumerate(batch["index"].tolist())
        }

    alone, other = load(keys, 0), load(keys[::-1], 2)
    assert alone.keys() == other.keys()
    for index, images in alone.items():
        assert all(torch.equal(a, b) for a, b in zip(images, other[index], strict=True))
    later = load([(3, index) for index in range(IMAGES)], 0)
    seeded = load(keys, 0, build(pairs, broken=(3,), seed=1))
    for changed in (later, seeded):  # the jittered patch hardly comes out the same
        assert not any(torch.equal(alone[i][3], changed[i][3]) for i in alone.keys() & changed)


def test_only_the_partners_view_is_marked_in_a_batch(pairs):
    dataset = build(pairs)
    views = collate_views([dataset[(0, i)] for i in range(3)])["views"]
    assert [view.other_image for view in views] == [False] * 5 + [True]
    assert views[5].to("cpu").other_image


def test_the_image_views_are_those_of_a_plain_data_set(pairs):
    from dense_cl.views.dataset import ViewDataset

    plain = ViewDataset(Ramp(IMAGES), [VIEW])[(3, 2)]
    for ours, theirs in zip(build(pairs)[(3, 2)].views[:2], plain.views, strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)


def test_an_unreadable_partner_is_named_and_not_replaced(pairs):
    dataset = build(pairs, broken=(5,))
    samples = [dataset[(epoch, 4)] for epoch in range(30)]
    missing = [sample for sample in samples if isinstance(sample, Unreadable)]
    assert set(missing) == {Unreadable(4, "noise/5.png", "truncated")}
    assert 5 < len(missing) < 25  # one of its two neighbours
    assert dataset[(0, 5)] == Unreadable(5, "noise/5.png", "truncated")


def test_an_image_that_was_unreadable_when_mined_is_named(tmp_path):
    dataset = build(write_pairs(tmp_path / "pairs.npz", readable=5))
    missing = dataset[(0, 5)]
    assert missing.name == "noise/5.png" and "mine again" in missing.reason


def test_pairs_of_other_images_and_wrong_patches_are_refused(pairs):
    with pytest.raises(DenseCLError, match="pairs.npz' .6 images.*5 images: data_fingerprint was"):
        ObjectPairDataset(Ramp(5), [VIEW], pairs, [PLAIN, PLAIN])
    with pytest.raises(DenseCLError, match="keep was 0.1 and is now 0.2"):
        ObjectPairDataset(Ramp(IMAGES), [VIEW], pairs, [PLAIN, PLAIN], mining=dict(keep=0.2))
    ObjectPairDataset(Ramp(IMAGES), [VIEW], pairs, [PLAIN, PLAIN], regions=Places())
    with pytest.raises(DenseCLError, match="regions was.*'Places'.*is now.*'Others'"):
        ObjectPairDataset(Ramp(IMAGES), [VIEW], pairs, [PLAIN, PLAIN], regions=Others())
    for patches in ([PLAIN], [PLAIN, VIEW]):
        with pytest.raises(DenseCLError, match="two PatchGroup"):
            build(pairs, patches=patches)
    with pytest.raises(DenseCLError, match="'nowhere.npz' do not exist; 'dense-cl mine' writes"):
        build("nowhere.npz")


def test_an_error_in_a_patch_names_the_file(pairs):
    class Broken(PatchGroup):
        def cut(self, image, box, key):
            raise ZeroDivisionError("oops")

    dataset = build(pairs, patches=[Broken((8, 8)), Broken((8, 8))])
    with pytest.raises(DenseCLError, match=r"noise/2\.png.*ZeroDivisionError.*oops"):
        dataset[2]


def test_a_patch_is_what_a_view_group_makes_of_that_crop():
    image = Ramp().load(3)
    box = (3, 4, 30, 36)

    class Fixed:
        def sample(self, source_size, count, rng, objects):
            return [Crop(box)]

    blur = [dict(type="GaussianBlur", p=0.5), dict(type="Rotate", limit=20, p=0.5)]
    group = ViewGroup(1, (16, 16), Fixed(), blur)
    (expected,) = group(image, (1, 2, 3))
    patch = PatchGroup((16, 16), blur).cut(image, box, (1, 2, 3, 0))
    np.testing.assert_array_equal(patch.image, expected.image)
    np.testing.assert_array_equal(patch.geometry.matrix, expected.geometry.matrix)


boxes = st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, st.integers(0, 10_000))
def test_jittered_boxes_stay_near_and_inside(box, seed):
    size = (100, 110)
    moved = BoxJitter(attempts=50)(box, size, random.Random(seed))
    assert 0 <= moved[0] < moved[2] <= size[1] and 0 <= moved[1] < moved[3] <= size[0]
    if moved != box:
        width, height = moved[2] - moved[0], moved[3] - moved[1]
        area = (box[2] - box[0]) * (box[3] - box[1])
        slack = width + height + 1  # of rounding each side
        assert 0.5 * area - slack <= width * height <= 2 * area + slack
        assert overlap(box, [moved])[0] > 0.5


def test_jitter_reaches_its_limits_and_can_give_up():
    box, size = (40, 40, 80, 70), (120, 120)
    rng = random.Random(0)
    moved = np.array([BoxJitter()(box, size, rng) for _ in range(2000)])
    areas = np.prod(moved[:, 2:] - moved[:, :2], axis=1) / 1200
    assert areas.min() < 0.6 and areas.max() > 1.8
    assert np.ptp(moved[:, 0] + moved[:, 2]) / 2 > 0.5 * 40  # centres move by more than 10 pixels
    assert BoxJitter(min_iou=0.999)(box, size, rng) == box
    with pytest.raises(DenseCLError, match="scale="):
        BoxJitter(scale=(0.0, 2.0))
    with pytest.raises(DenseCLError, match="min_iou=1"):
        BoxJitter(min_iou=1.0)


@given(st.lists(boxes, max_size=25), st.floats(0.1, 0.9), st.integers(1, 6))
def test_candidates_are_fit_and_none_that_is_fit_is_left_out(given_boxes, max_iou, most):
    """The greedy rule, box by box, as the authors' loop has it."""
    size, smallest, aspect = (80, 90), 8, 3.0
    expected = []
    for x1, y1, x2, y2 in given_boxes:
        x2, y2 = min(x2, size[1]), min(y2, size[0])
        width, height = x2 - x1, y2 - y1
        if min(width, height) < smallest or max(width, height) > aspect * min(width, height):
            continue
        kept = [overlap((x1, y1, x2, y2), [other])[0] for other in expected]
        if not kept or max(kept) <= max_iou:
            expected.append([x1, y1, x2, y2])
    found = candidate_boxes(given_boxes, size, smallest, aspect, max_iou, most)
    assert found.tolist() == (expected or [[0, 0, 90, 80]])[:most]


@given(boxes, boxes)
def test_overlap_counts_pixels(first, second):
    masks = np.zeros((2, 100, 100), dtype=bool)
    for mask, (x1, y1, x2, y2) in zip(masks, (first, second), strict=True):
        mask[y1:y2, x1:x2] = True
    expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    np.testing.assert_allclose(overlap(first, [second]), expected)
