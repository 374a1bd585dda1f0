"""A folder of grey maps: every image has its own, or there is one clear error."""

import logging
import pickle

import numpy as np
import pytest
from PIL import Image

from dense_cl.errors import DenseCLError
from dense_cl.regions.providers import RegionCache
from dense_cl.regions.saliency import SaliencyMasks
from dense_cl.sources import FolderSource, SyntheticScenes
from dense_cl.sources.files import FileSource


@pytest.fixture
def folders(tmp_path):
    """Three images, and their masks: a rectangle each, at its own place."""
    for number, name in enumerate(("deep/a.jpg", "deep/b.png", "c.jpg")):
        image = tmp_path / "images" / name
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(image)
        values = np.zeros((30, 40), np.uint8)
        values[5:15, 10 * number : 10 * number + 10] = 255
        mask = (tmp_path / "masks" / name).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(mask)
    return FolderSource(tmp_path / "images"), tmp_path / "masks"


def bound(folders, **options) -> SaliencyMasks:
    source, masks = folders
    provider = SaliencyMasks(str(masks), **options)
    provider.bind(source)
    return provider


def places(provider, source) -> dict[str, int | None]:
    """Left column of the object of each image."""
    found = {}
    for index in range(len(source)):
        ids = provider(source.load(index), index).label_map
        columns = np.flatnonzero((ids == 0).any(axis=0))
        found[source.relative_name(index)] = int(columns[0]) if len(columns) else None
    return found


def test_every_image_has_its_own_mask(folders):
    provider = pickle.loads(pickle.dumps(bound(folders)))
    assert places(provider, folders[0]) == {"deep/a.jpg": 0, "deep/b.png": 10, "c.jpg": 20}
    assert provider.lacking == ()
    grey = provider.saliency(folders[0].load(0), 0)
    assert grey.dtype == np.float32 and set(np.unique(grey)) == {0, 1}


@pytest.mark.parametrize(
    ("box", "level", "share"),
    [
        ((0, 0, 40, 30), 0, 0.0),
        ((0, 0, 40, 30), 255, 1.0),
        ((0, 0, 40, 28), 255, 28 / 30),
        ((5, 5, 7, 7), 255, 4 / 1200),  # smaller than what other providers take for an object
        ((5, 5, 25, 20), 100, 0.0),  # nearer to "not salient" than to "salient"
        ((5, 5, 25, 20), 1, 0.25),  # a mask of 0 and 1
    ],
)
def test_a_mask_is_taken_at_its_word(folders, box, level, share):
    source, masks = folders
    mask = Image.new("L", (40, 30))
    mask.paste(level, box)
    mask.save(masks / "c.png")
    index = [source.relative_name(i) for i in range(3)].index("c.jpg")
    ids = bound(folders)(source.load(index), index).label_map
    assert (ids >= 0).mean() == pytest.approx(share)


def test_masks_may_be_jpegs_and_of_another_scale(folders):
    source, masks = folders
    (masks / "c.png").unlink()
    Image.new("L", (27, 20), 200).save(masks / "c.JPG")  # 40 x 30 reduced by 2/3
    index = [source.relative_name(i) for i in range(3)].index("c.jpg")
    ids = bound(folders)(source.load(index), index).label_map
    assert ids.shape == (20, 27) and (ids == 0).all()


@pytest.mark.parametrize("damage", ["missing", "empty"])
def test_missing_and_empty_masks_are_an_error_or_counted_and_listed(folders, damage, caplog):
    source, masks = folders
    file = masks / "deep/b.png"
    file.unlink()
    if damage == "empty":
        file.touch()
    with pytest.raises(DenseCLError, match=r"1 of 3 images have no mask.*'deep/b'.*missing='noth"):
        bound(folders)
    logger = logging.getLogger("saliency-test")
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        provider = bound(folders, missing="nothing")
    finally:
        logger.removeHandler(caplog.handler)
    assert "1 of 3 images have no mask" in caplog.text and "deep/b" in caplog.text
    assert provider.lacking == ("deep/b",)
    # Nothing is salient in it, and above all not what is salient in another image.
    assert places(provider, source) == {"deep/a.jpg": 0, "deep/b.png": None, "c.jpg": 20}


def test_a_misnamed_mask_is_pointed_out(folders):
    _, masks = folders
    (masks / "c.png").rename(masks / "c_mask.png")
    with pytest.raises(DenseCLError, match=r"1 of 3 .*belong to no image.*'c_mask.png'.*misnamed"):
        bound(folders)


def test_more_masks_than_images_are_fine(folders):
    Image.new("L", (40, 30)).save(folders[1] / "of_another_split.png")
    assert places(bound(folders), folders[0])["c.jpg"] == 20


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Image.new("L", (30, 40)), r"30x40 pixels, another shape than its photo of 40x30"),
        (Image.new("L", (40, 28)), "another shape"),
        (Image.new("RGB", (40, 30)), "is a RGB picture"),
        (b"not a picture", "cannot be read"),
    ],
)
@pytest.mark.parametrize("missing", ["error", "nothing"])
def test_wrong_masks_are_never_used(folders, content, reason, missing):
    source, masks = folders
    file = masks / "c.png"
    file.unlink()
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        content.save(file)
    provider = bound(folders, missing=missing)
    index = [source.relative_name(i) for i in range(3)].index("c.jpg")
    with pytest.raises(DenseCLError, match=rf"c\.png.*{reason}"):
        provider(source.load(index), index)


def test_names_that_fit_two_things_are_refused(folders, tmp_path):
    _, masks = folders
    Image.new("L", (40, 30)).save(masks / "c.jpg")
    with pytest.raises(DenseCLError, match=r"'c\.(png|jpg)' and 'c\.(png|jpg)'.*same image"):
        bound(folders)
    (masks / "c.jpg").unlink()
    Image.new("RGB", (40, 30)).save(tmp_path / "images/c.png")
    with pytest.raises(DenseCLError, match=r"'c\.jpg' and 'c\.png' would have the same mask"):
        bound((FolderSource(tmp_path / "images"), masks))


def test_images_beyond_the_root_are_refused(folders, tmp_path):
    outside = FileSource(tmp_path / "images/deep", [str(tmp_path / "images/c.jpg")])
    with pytest.raises(DenseCLError, match=r"outside of the root.*dataset\.source\.root=FOLDER"):
        bound((outside, folders[1]))
    inside = FileSource(tmp_path / "images", [str(tmp_path / "images/c.jpg")])
    assert places(bound((inside, folders[1])), inside) == {"c.jpg": 20}


def test_what_has_no_files_or_no_folder_is_refused(folders, tmp_path):
    with pytest.raises(DenseCLError, match="names of image files"):
        bound((SyntheticScenes(count=2), folders[1]))
    with pytest.raises(DenseCLError, match=r"nowhere' does not exist"):
        bound((folders[0], tmp_path / "nowhere"))
    with pytest.raises(DenseCLError, match="missing is"):
        SaliencyMasks("x", missing="skip")


def test_a_cache_of_them_is_refused(folders, tmp_path):
    with pytest.raises(DenseCLError, match="SaliencyMasks reads files that are there already"):
        RegionCache(str(tmp_path / "a"), SaliencyMasks(str(folders[1])))


def test_hidden_files_are_no_masks_and_home_is_expanded(folders, monkeypatch):
    source, masks = folders
    for hidden in (".cache/x.png", "._c.png"):
        (masks / hidden).parent.mkdir(exist_ok=True)
        (masks / hidden).write_bytes(b"x")
    monkeypatch.setenv("HOME", str(masks.parent))
    provider = SaliencyMasks("~/masks")
    provider.bind(source)
    assert places(provider, source) == {"deep/a.jpg": 0, "deep/b.png": 10, "c.jpg": 20}
    (masks / "c.png").unlink()
    with pytest.raises(DenseCLError) as caught:
        provider.bind(source)
    assert "misnamed" not in str(caught.value)


def test_identity_follows_the_masks_and_not_their_place(folders):
    source, masks = folders
    before = bound(folders).identity()
    moved = masks.rename(masks.with_name("elsewhere"))
    assert bound((source, moved)).identity() == before
    assert bound((source, moved), threshold=0.4).identity() != before
    values = 255 - np.asarray(Image.open(moved / "c.png"))
    Image.fromarray(values).save(moved / "c.png")
    assert bound((source, moved)).identity() != before
