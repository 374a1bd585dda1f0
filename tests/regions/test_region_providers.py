"""Providers on pictures whose regions are known."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dense_cl.errors import DenseCLError
from dense_cl.regions.grouping import PixelBins, merge_hierarchy, region_features
from dense_cl.regions.providers import (
    SLIC,
    CocoRegions,
    Felzenszwalb,
    Grid,
    LabelMaps,
    Learned,
    SelectiveSearch,
    SlidingWindows,
)
from dense_cl.registry import REGIONS
from dense_cl.sources import FolderSource, SyntheticScenes
from dense_cl.sources.coco import CocoSource

# x1, y1, x2, y2 of coloured rectangles on grey.
OBJECTS = {(20, 10, 60, 50): (220, 40, 40), (90, 40, 140, 100): (40, 60, 220)}


def scene(scale: int = 1) -> np.ndarray:
    image = np.full((120 * scale, 160 * scale, 3), 120, np.uint8)
    for (x1, y1, x2, y2), colour in OBJECTS.items():
        image[y1 * scale : y2 * scale, x1 * scale : x2 * scale] = colour
    return image


def iou(first, second) -> float:
    size = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    both = size.clip(min=0).prod()
    return both / ((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod() - both)


@settings(max_examples=50)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 200), st.integers(1, 200))
def test_a_grid_covers_the_image_once(rows, columns, height, width):
    found = Grid(rows, columns)(np.zeros((height, width, 3), np.uint8), 0)
    assert found.label_map.shape == (rows, columns)
    assert sorted(found.label_map.ravel()) == list(range(rows * columns))
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    np.testing.assert_allclose(sizes, [[width / columns, height / rows]] * len(sizes), rtol=1e-4)
    centres = found.boxes.reshape(-1, 2, 2).mean(axis=1) / [width / columns, height / rows]
    assert (np.floor(centres[:, 1]) * columns + np.floor(centres[:, 0])
            == found.label_map.ravel()).all()  # fmt: skip


@settings(max_examples=50)
@given(st.integers(20, 200), st.integers(20, 200), st.floats(0.1, 1), st.floats(0.1, 1))
def test_windows_cover_the_image_in_steps_no_larger_than_asked(height, width, size, stride):
    boxes = SlidingWindows([size], stride)(np.zeros((height, width, 3), np.uint8), 0).boxes
    side = size * min(height, width)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], side, rtol=1e-4)
    for axis, length in ((0, width), (1, height)):
        starts = np.unique(boxes[:, axis])
        assert starts[0] == 0 and abs(starts[-1] + side - length) < 1e-3
        assert np.diff(starts).max(initial=0) <= stride * side + 1e-3
    assert len(boxes) == len(np.unique(boxes[:, 0])) * len(np.unique(boxes[:, 1]))


@pytest.mark.parametrize(
    "provider", [Felzenszwalb(scale=100, min_size=100), SLIC(segments=60, compactness=5)]
)
@pytest.mark.parametrize("scale", [1, 4])
def test_segments_keep_to_the_outlines_at_a_reduced_size_too(provider, scale):
    label_map = provider(scene(scale), 0).label_map
    assert label_map.dtype == np.int16 and max(label_map.shape) == min(
        160 * scale, provider.max_size
    )
    assert sorted(np.unique(label_map)) == list(range(label_map.max() + 1))
    truth = np.zeros((120, 160), int)
    for number, (x1, y1, x2, y2) in enumerate(OBJECTS, start=1):
        truth[y1:y2, x1:x2] = number
    rows = np.linspace(0, 119, label_map.shape[0]).round().astype(int)
    columns = np.linspace(0, 159, label_map.shape[1]).round().astype(int)
    truth = truth[rows][:, columns]
    # Of each segment, nearly all pixels are of one object.
    most = sum(np.bincount(truth[label_map == i]).max() for i in range(label_map.max() + 1))
    assert most / truth.size > 0.97
    assert len({tuple(np.unique(label_map[truth == i])) for i in range(3)}) == 3


def slow_hierarchy(labels: np.ndarray, image: np.ndarray, similarities: str) -> list[list[int]]:
    """The paper's Algorithm 1 on sets of pixels, with everything computed anew each time."""
    bins = PixelBins.of(image)

    def histogram(pixels, numbers, count):
        total = np.zeros((numbers.shape[2], count))
        for y, x in pixels:
            for channel, number in enumerate(numbers[y, x]):
                total[channel, number] += 1
        return total / total.sum()

    def box(pixels):
        y, x = zip(*pixels, strict=True)
        return [min(x), min(y), max(x) + 1, max(y) + 1]

    def touch(a, b):
        return any((y + dy, x + dx) in b for y, x in a for dy, dx in
                   ((0, 1), (1, 0), (0, -1), (-1, 0)))  # fmt: skip

    def similarity(a, b):
        total = 0.0
        for letter, numbers, count in (("C", bins.colour, 25), ("T", bins.texture, 10)):
            if letter in similarities:
                first, second = (histogram(region, numbers, count) for region in (a, b))
                total += np.minimum(first, second).sum()
        if "S" in similarities:
            total += 1 - (len(a) + len(b)) / labels.size
        if "F" in similarities:
            x1, y1, x2, y2 = box(a | b)
            total += 1 - ((x2 - x1) * (y2 - y1) - len(a) - len(b)) / labels.size
        return total

    regions = [
        frozenset(map(tuple, np.argwhere(labels == number))) for number in range(labels.max() + 1)
    ]
    boxes = [box(region) for region in regions]
    while len(regions) > 1:
        pairs = [(a, b) for i, a in enumerate(regions) for b in regions[:i] if touch(a, b)]
        a, b = max(pairs, key=lambda pair: similarity(*pair))
        regions = [region for region in regions if region not in (a, b)] + [a | b]
        boxes.append(box(a | b))
    return boxes


@pytest.mark.parametrize("similarities", ["CTSF", "TSF", "C", "SF"])
def test_grouping_is_the_papers_algorithm(similarities):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (12, 15, 3), dtype=np.uint8)
    labels = np.arange(12).reshape(3, 4).repeat(4, axis=0).repeat([4, 3, 5, 3], axis=1)
    labels[3, 2:7] = 11  # uneven, and one of them in two parts
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    found = merge_hierarchy(region_features(labels, PixelBins.of(image)), similarities)
    assert found.tolist() == slow_hierarchy(labels, image, similarities)


def test_selective_search_finds_the_objects_and_keeps_to_its_limits():
    noise = np.random.default_rng(0).integers(-6, 7, (240, 320, 3))
    image = (scene(2) + noise).clip(0, 255).astype(np.uint8)
    boxes = SelectiveSearch()(image, 0).boxes
    for target in OBJECTS:
        assert max(iou(box, 2 * np.array(target)) for box in boxes) > 0.85
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [320, 240]).all()
    assert [0, 0, 320, 240] in boxes.tolist()  # all of it, merged last
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    np.testing.assert_array_equal(SelectiveSearch()(image, 5).boxes, boxes)
    few = SelectiveSearch(max_boxes=3, size=(0.1, 0.5), max_ratio=2.0)(image, 0).boxes
    width, height = (few[:, 2:] - few[:, :2]).T
    assert len(few) == 3 and np.maximum(width / height, height / width).max() <= 2
    sizes = np.sqrt(width * height / (320 * 240))
    assert sizes.min() >= 0.1 and sizes.max() <= 0.5


def coco(tmp_path, **changes):
    """Two images; of the first, a large polygon, a small run-length mask on it, and a crowd."""
    (tmp_path / "images/deep").mkdir(parents=True, exist_ok=True)
    for name in ("images/deep/a.png", "images/b.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    small = np.zeros((30, 40), int)
    small[5:10, 5:15] = 1
    runs, value, length = [], 0, 0
    for pixel in small.T.ravel():
        if pixel != value:
            runs.append(length)
            value, length = pixel, 0
        length += 1
    counts = [*runs, length]
    square = [2, 2, 22, 2, 22, 22, 2, 22]
    content = dict(
        images=[dict(id=7, file_name="deep/a.png", height=30, width=40),
                dict(id=9, file_name="b.png", height=30, width=40)],
        annotations=[
            dict(id=1, image_id=7, bbox=[5, 5, 10, 5],
                 segmentation=dict(size=[30, 40], counts=counts)),
            dict(id=2, image_id=7, bbox=[2, 2, 20, 20], segmentation=[square]),
            dict(id=3, image_id=7, bbox=[0, 0, 40, 30], iscrowd=1, segmentation=[square]),
        ],
        categories=[],
    )  # fmt: skip
    content.update(changes)
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(content))
    return file, CocoSource(file, tmp_path / "images")


def test_coco_masks_lie_where_they_are_drawn_the_smaller_in_front(tmp_path):
    file, source = coco(tmp_path)
    provider = CocoRegions(str(file))
    provider.bind(source)
    found = provider(source.load(0), 0)
    expected = np.full((30, 40), -1)
    expected[2:22, 2:22] = 1
    expected[5:10, 5:15] = 0
    np.testing.assert_array_equal(found.label_map, expected)
    assert found.boxes.tolist() == [[5, 5, 15, 10], [2, 2, 22, 22]]
    none = provider(source.load(1), 1)
    assert none.boxes.shape == (0, 4) and (none.label_map == -1).all()
    boxes_only = CocoRegions(str(file), masks=False)
    boxes_only.bind(source)
    assert boxes_only(source.load(0), 0).label_map is None
    assert boxes_only.settings() != provider.settings()
    # Another JSON of the same name is another setting.
    changed, _ = coco(tmp_path, annotations=[])
    assert CocoRegions(str(changed)).settings() != provider.settings()


def test_coco_annotations_of_other_images_are_refused(tmp_path):
    file, source = coco(tmp_path)
    with pytest.raises(DenseCLError, match="SyntheticScenes"):
        CocoRegions(str(file)).bind(SyntheticScenes(count=2))
    (tmp_path / "images/c.png").write_bytes((tmp_path / "images/b.png").read_bytes())
    with pytest.raises(DenseCLError, match=r"does not list 1 of 3 images.*'c\.png'"):
        CocoRegions(str(file)).bind(FolderSource(tmp_path / "images"))
    provider = CocoRegions(str(file))
    provider.bind(source)
    with pytest.raises(DenseCLError, match=r"\(30, 40\) for the height and width.*\(40, 30\)"):
        provider(np.zeros((40, 30, 3), np.uint8), 0)
    bare = [dict(id=1, image_id=9, bbox=[0, 0, 4, 4])]
    file, source = coco(tmp_path, annotations=bare)
    provider = CocoRegions(str(file))
    provider.bind(source)
    with pytest.raises(DenseCLError, match="masks=False"):
        provider(source.load(1), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(annotations=[dict(image_id=7, bbox=[0, 0, 1, 1]), dict(image_id=7, caption="x")]),
            r"annotations\[1\] has no 'bbox'",
        ),
        (
            dict(annotations=[dict(file_name="a.png", segments_info=[], bbox=[0, 0, 1, 1])]),
            r"annotations\[0\] has no 'image_id'",
        ),
        (dict(images=[dict(id=7, file_name="a"), dict(file_name="b")]), r"images\[1\] has no 'id'"),
    ],
)
def test_a_coco_file_of_something_else_is_named_with_its_first_bad_entry(
    tmp_path, changes, message
):
    (tmp_path / "images").mkdir()
    file = tmp_path / "labels.json"
    content = dict(images=[dict(id=7, file_name="a")], annotations=[]) | changes
    file.write_text(json.dumps(content))
    with pytest.raises(DenseCLError, match=rf"labels\.json': {message}.*instances_\*\.json"):
        CocoRegions(str(file))


def test_label_maps_are_found_by_name_and_numbered_by_rank(tmp_path):
    _, source = coco(tmp_path)
    values = np.array([[9, 9, 255, 3], [200, 3, 9, 0]], np.uint8)
    (tmp_path / "maps/deep").mkdir(parents=True)
    Image.fromarray(values).save(tmp_path / "maps/deep/a.png")
    provider = LabelMaps(str(tmp_path / "maps"), none=(255, 0))
    with pytest.raises(DenseCLError, match=r"1 of 2 images have no label map.*b\.png"):
        provider.bind(source)
    Image.new("RGB", (4, 2)).save(tmp_path / "maps/b.png")
    provider.bind(source)
    found = provider(source.load(0), 0)
    assert found.label_map.tolist() == [[1, 1, -1, 0], [2, 0, 1, -1]]
    with pytest.raises(DenseCLError, match="is a RGB picture"):
        provider(source.load(1), 1)


def test_learned_regions_follow_what_the_backbone_tells_apart(tmp_path):
    from dense_cl.transfer.export import export_backbone
    from tests.transfer.files import pretrained

    architecture = dict(type="ResNet", depth=18)
    pretrained(architecture, tmp_path / "run.pth")
    export_backbone(tmp_path / "run.pth", tmp_path / "backbone.pth")
    weights = str(tmp_path / "backbone.pth")
    image = np.zeros((96, 128, 3), np.uint8)
    image[:, 64:] = 255
    provider = Learned(weights, clusters=2, stage=0)
    label_map = provider(image, 0).label_map
    assert label_map.shape == (24, 32)  # the first stage has stride 4
    left, right = np.unique(label_map[4:-4, 4:12]), np.unique(label_map[4:-4, 20:28])
    assert len(left) == len(right) == 1 and left != right
    np.testing.assert_array_equal(provider(image, 3).label_map, label_map)
    assert Learned(weights, clusters=500)(image, 0).label_map.max() < 12  # 3 x 4 cells
    assert provider.settings()["weights"] != weights  # what it holds, not where it lies
    with pytest.raises(DenseCLError, match="stage 9 does not exist"):
        Learned(weights, stage=9)(image, 0)


@pytest.mark.parametrize(
    "config",
    [
        dict(type="Grid", rows=0),
        dict(type="SlidingWindows", sizes=[]),
        dict(type="SlidingWindows", sizes=[1.5]),
        dict(type="SlidingWindows", stride=0),
        dict(type="SLIC", segments=0),
        dict(type="Felzenszwalb", scale=-1),
        dict(type="SelectiveSearch", colour_spaces=["RGB"]),
        dict(type="SelectiveSearch", similarities=["X"]),
        dict(type="SelectiveSearch", size=(0.5, 0.1)),
        dict(type="Learned", weights="nowhere.pth"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_the_providers_name(config):
    with pytest.raises(DenseCLError, match=f"regions {config['type']}: "):
        REGIONS.build(config)


def test_a_label_map_of_another_aspect_ratio_is_refused(tmp_path):
    _, source = coco(tmp_path)
    height, width = source.load(0).shape[:2]
    for index in range(len(source)):
        file = tmp_path / "maps" / f"{source.relative_name(index).rsplit('.', 1)[0]}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((width, height), np.uint8)).save(file)
    provider = LabelMaps(str(tmp_path / "maps"))
    provider.bind(source)
    with pytest.raises(DenseCLError, match="turned by its EXIF tag"):
        provider(source.load(0), 0)


def test_two_entries_of_one_image_are_refused(tmp_path):
    file = tmp_path / "labels.json"
    images = [dict(id=1, file_name="a.png"), dict(id=2, file_name="a.png")]
    file.write_text(json.dumps(dict(images=images, annotations=[])))
    with pytest.raises(DenseCLError, match=r"lists image 'a\.png' twice"):
        CocoRegions(str(file))
