"""Labels: what is read, filled in and refused; fractions and held-out parts."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from dense_cl.errors import DenseCLError
from dense_cl.transfer.label_fraction import hold_out, take_fraction
from dense_cl.transfer.labels import Labels, check_photos, read_labels, with_categories_of

from .coco_set import CATEGORIES, edit, write_set


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("set"))


def test_missing_fields_are_filled_in(file):
    def strip(content):
        for annotation in content["annotations"]:
            del annotation["id"], annotation["area"], annotation["iscrowd"]

    labels = read_labels(edit(file, "stripped.json", strip))
    assert [a["id"] for a in labels.annotations] == list(range(1, 13))
    assert {a["area"] for a in labels.annotations} == {26 * 26}
    assert {a["iscrowd"] for a in labels.annotations} == {0}
    assert labels.classes == ("red", "green", "blue")  # the file's order, not that of the ids


@pytest.mark.parametrize("first", [0, -3, "a"])
def test_ids_that_pycocotools_misreads_are_numbered_anew(file, first):
    change = lambda c: c["annotations"][0].update(id=first)  # noqa: E731
    labels = read_labels(edit(file, "zero.json", change))
    assert [a["id"] for a in labels.annotations] == list(range(1, 13))


MISTAKES = {
    "panoptic": (
        lambda c: c["annotations"][0].update(segments_info=[]),
        "take a config named panoptic_fpn",
    ),
    "no annotations": (lambda c: c["annotations"].clear(), "has no annotations"),
    "no box": (lambda c: c["annotations"][3].pop("bbox"), "annotation 4 has no box"),
    "infinite box": (
        lambda c: c["annotations"][3].update(bbox=[0, 0, 1, float("inf")]),
        "annotation 4 has no box",
    ),
    "unknown image": (lambda c: c["annotations"][0].update(image_id=99), "unknown image_id 99"),
    "unknown category": (
        lambda c: c["annotations"][0].update(category_id=4),
        "unknown category_id 4",
    ),
    "box of no width": (
        lambda c: c["annotations"][3].update(bbox=[0, 0, -2, 1]),
        "annotation 4 has no box",
    ),
    "annotation of text": (
        lambda c: c["annotations"].append("x"),
        "its annotations are no list of objects",
    ),
    "annotations by name": (
        lambda c: c.update(annotations={"a": c["annotations"][0]}),
        "its annotations are no list of objects",
    ),
    "categories of text": (
        lambda c: c.update(categories=["a"]),
        "its categories are no list of objects",
    ),
    "list for an image": (
        lambda c: c["annotations"][0].update(image_id=[1]),
        r"unknown image_id \[1\]",
    ),
    "list for an id": (
        lambda c: c["images"][0].update(id=[1]),
        r"image id \[1\] is neither a number nor a text",
    ),
    "repeated id": (lambda c: c["annotations"][1].update(id=1), "annotation id 1 occurs 2 times"),
    "repeated name": (lambda c: c["categories"][1].update(name="red"), "'red' occurs 2 times"),
    "no size": (lambda c: c["images"][2].pop("width"), "'003.png' has no width"),
    "image not there": (
        lambda c: c["images"][4].update(file_name="lost.png"),
        r"1 of the 6 images .* are not in '.*images'; the first is 'lost.png'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(file, name):
    change, message = MISTAKES[name]
    with pytest.raises(DenseCLError, match=message):
        read_labels(edit(file, "wrong.json", change))


def test_photos_are_of_the_sizes_that_the_labels_say(tmp_path):
    file = write_set(tmp_path)
    check_photos(read_labels(file))
    turned = tmp_path / "images" / "002.jpg"  # stored lying, shown standing
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (48, 64)).save(turned, exif=exif)
    shown = edit(file, "t.json", lambda c: c["images"][1].update(file_name="002.jpg"))
    check_photos(read_labels(shown))
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "004.webp", exif=exif)
    lying = edit(file, "l.json", lambda c: c["images"][3].update(file_name="004.webp"))
    check_photos(read_labels(lying))  # which OpenCV does not turn
    other = edit(file, "o.json", lambda c: c["images"][1].update(width=48, height=64))
    with pytest.raises(DenseCLError, match="says 48x64 for '002.png', which is 64x48"):
        check_photos(read_labels(other))
    for content, reason in ((b"", "it is empty"), (b"text", "cannot identify")):
        (tmp_path / "images" / "003.png").write_bytes(content)
        with pytest.raises(DenseCLError, match=f"003.png' cannot be read: .*{reason}"):
            check_photos(read_labels(file))


def test_the_users_own_file_is_not_replaced_by_a_part_of_it(tmp_path):
    labels = read_labels(write_set(tmp_path))
    with pytest.raises(DenseCLError, match="would be replaced by the part of it that is used"):
        labels.subset({1}).write(tmp_path / "images" / ".." / "labels.json")
    assert len(read_labels(tmp_path / "labels.json").images) == 6


def test_boxes_without_masks_do_for_detection_only(tmp_path):
    file = write_set(tmp_path, masks=False)
    assert len(read_labels(file).annotations) == 12
    with pytest.raises(DenseCLError, match="12 of the 12 annotations .* have no mask"):
        read_labels(file, masks=True)


def test_classes_are_numbered_by_the_training_file(file):
    train = read_labels(file)
    turned = read_labels(edit(file, "turned.json", lambda c: c["categories"].reverse()))
    assert with_categories_of(turned, train).categories == CATEGORIES


def test_one_id_with_two_names_is_an_error(file):
    train = read_labels(file)
    renamed = read_labels(edit(file, "n.json", lambda c: c["categories"][0].update(name="pink")))
    with pytest.raises(DenseCLError, match="category 7 is 'pink' in .* and 'red' in"):
        with_categories_of(renamed, train)


def synthetic_labels(count: int, unlabelled: int = 0) -> Labels:
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(count + unlabelled)]
    annotations = [{"id": i, "image_id": i, "iscrowd": 0} for i in range(count)]
    return Labels(None, None, images, annotations, CATEGORIES)


def ids(labels: Labels) -> set[int]:
    return {image["id"] for image in labels.images}


@given(
    count=st.integers(1, 300),
    percents=st.lists(st.floats(0.1, 100), min_size=2, max_size=2).map(sorted),
    seed=st.integers(0, 5),
)
def test_fractions_are_nested_deterministic_and_of_the_right_size(count, percents, seed):
    labels = synthetic_labels(count, unlabelled=3)
    small, large = (ids(take_fraction(labels, percent, seed)) for percent in percents)
    assert small <= large
    for percent, chosen in zip(percents, (small, large), strict=True):
        assert chosen == ids(take_fraction(labels, percent, seed))
        assert abs(len(chosen) - count * percent / 100) < 1 and len(chosen) >= 1
        assert chosen <= set(range(count))  # none without labels


@pytest.mark.parametrize(("percent", "size"), [(1, 2), (5, 10), (10, 20), (29, 58), (50, 100)])
def test_size_of_usual_fractions(percent, size):
    assert len(take_fraction(synthetic_labels(200), percent, seed=0).images) == size


def test_order_in_the_file_does_not_matter_but_the_seed_does():
    labels = synthetic_labels(100)
    turned = Labels(None, None, labels.images[::-1], labels.annotations[::-1], CATEGORIES)
    assert ids(take_fraction(labels, 10, 0)) == ids(take_fraction(turned, 10, 0))
    assert ids(take_fraction(labels, 10, 0)) != ids(take_fraction(labels, 10, 1))


@pytest.mark.parametrize("percent", [0, -1, 101, math.nan])
def test_impossible_fractions(percent):
    with pytest.raises(DenseCLError, match="fraction"):
        take_fraction(synthetic_labels(5), percent, 0)


@given(count=st.integers(2, 100), seed=st.integers(0, 5))
def test_hold_out_is_a_partition(count, seed):
    labels = synthetic_labels(count)
    train, held_out = hold_out(labels, seed)
    assert ids(train) | ids(held_out) == ids(labels) and not ids(train) & ids(held_out)
    assert len(held_out.images) == max(1, round(0.2 * count))
    assert {a["image_id"] for a in held_out.annotations} == ids(held_out)


def test_written_labels_are_read_back(file, tmp_path):
    labels = take_fraction(read_labels(file), 50, seed=3)
    path = labels.write(tmp_path / "labels" / "train.json")
    again = read_labels(path, labels.image_root)
    assert (again.images, again.annotations) == (labels.images, labels.annotations)
    assert json.loads(path.read_text())["categories"] == CATEGORIES
