"""Extraction into a cache, and what training makes of the cache."""

import contextlib
import json
import multiprocessing
import os
import pickle
import resource
import signal
import sqlite3
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.regions import extract
from dense_cl.regions.cache_file import CacheFile
from dense_cl.regions.extract import extract_regions
from dense_cl.regions.provider import RegionProvider
from dense_cl.regions.providers import Grid, LabelMaps, RegionCache
from dense_cl.regions.regions import ImageRegions
from dense_cl.sources import FolderSource
from dense_cl.sources.base import ImageSource
from dense_cl.sources.files import FileSource
from dense_cl.views.collate import collate_views
from dense_cl.views.dataset import ViewDataset


@dataclass(frozen=True)
class Halves(RegionProvider):
    """Pixels above a grey level, and their box; appends to ``journal`` what it was shown."""

    level: int = 128
    journal: str = ""

    def __call__(self, image, index):
        if self.journal:
            with open(self.journal, "a") as file:
                file.write(f"{index}\n")
        ids = (image[..., 0] > self.level).astype(np.int16) * 300 - 1
        rows, columns = np.nonzero(ids >= 0)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return ImageRegions(ids, np.array([box, [0.5, 1, 2, 3.25]], np.float32))

    def settings(self):
        return {"type": "Halves", "level": self.level}


class Noise(ImageSource):
    """Random images."""

    def __init__(self, count=12, title="noise"):
        self.count, self.title = count, title

    def __len__(self):
        return self.count

    def name(self, index):
        return f"{self.title}/{index}"

    def load(self, index):
        rng = np.random.default_rng(index)
        return rng.integers(0, 256, (20 + index, 30, 3), dtype=np.uint8)

    def fingerprint(self):
        return f"{self.title}-{self.count}"


def write(file, seed) -> None:
    """Write a random photo of 24 x 30 pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def photos(folder, count, suffix="jpg") -> FolderSource:
    """Files of random photos, 00 and on."""
    for index in range(count):
        write(folder / f"{index:02}.{suffix}", index)
    return FolderSource(folder)


def shown(journal) -> list[int]:
    """Images that the provider was shown since the last look."""
    seen = [int(line) for line in journal.read_text().split()] if journal.exists() else []
    journal.unlink(missing_ok=True)
    return seen


def bound(file, source, provider=None) -> RegionCache:
    cache = RegionCache(str(file), provider or Halves())
    cache.bind(source)
    return cache


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_gives_what_its_provider_gives(tmp_path, workers):
    file, source, provider = tmp_path / "a.regions", Noise(), Halves()
    told = []
    done = extract_regions(
        source, provider, file, workers, lambda now, total: told.append((now, total))
    )
    assert (done.found, done.kept, done.unreadable) == (12, 0, 0)
    assert told == [(number, 12) for number in range(1, 13)]
    cache = pickle.loads(pickle.dumps(bound(file, source)))
    for index in (3, 0, 11):
        image = source.load(index)
        expected, found = provider(image, index), cache(image, index)
        assert found.label_map.dtype == np.int16 and found.boxes.dtype == np.float32
        np.testing.assert_array_equal(found.label_map, expected.label_map)
        np.testing.assert_array_equal(found.boxes, expected.boxes)
    made = CacheFile(file).provenance()
    assert made["settings"] == {"type": "Halves", "level": 128}
    assert made["source"] == "noise-12" and made["images"] == 12
    assert {"dense_cl", "numpy", "scikit-image"} <= set(made["versions"])


def test_a_dataset_reads_it_in_workers(tmp_path):
    extract_regions(Noise(), Grid(2, 2), tmp_path / "a.regions")
    regions = dict(type="RegionCache", file=str(tmp_path / "a.regions"),
                   provider=dict(type="Grid", rows=2, columns=2))  # fmt: skip
    views = [dict(type="ViewGroup", count=1, size=(8, 8), crop=dict(type="WholeImage"))]
    dataset = ViewDataset(Noise(), views, regions=regions)
    direct = ViewDataset(Noise(), views, regions=Grid(2, 2))
    dataset[0]  # opens the file in this process, which the workers must not inherit
    loader = DataLoader(dataset, 4, num_workers=2, collate_fn=collate_views)
    batches = [batch["views"][0].regions for batch in loader]
    for number, batch in enumerate(batches):
        expected = collate_views([direct[4 * number + i] for i in range(4)])["views"][0].regions
        assert (batch.label_map == expected.label_map).all()
        assert (batch.boxes == expected.boxes).all()


@pytest.mark.parametrize("kills", [1, 3])
def test_a_killed_extraction_goes_on_where_it_stopped(tmp_path, monkeypatch, kills):
    file, journal = tmp_path / "killed.regions", tmp_path / "journal"
    provider = Halves(journal=str(journal))
    monkeypatch.setattr(extract, "_COMMIT_EVERY", 0.0)
    processes = multiprocessing.get_context("fork")
    first_time = []
    for kill in range(1, kills + 1):
        done = processes.Value("i", 0)

        def report(now, total, done=done, limit=3 * kill):
            done.value = now
            while now >= limit:  # hold still to be killed
                time.sleep(1)

        child = processes.Process(target=extract_regions, args=(Noise(), provider, file, 0, report))
        child.start()
        while done.value < 3 * kill:
            assert child.is_alive()
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        first_time += shown(journal)
        with pytest.raises(DenseCLError, match=r"not finished. Run 'dense-cl regions' again"):
            bound(file, Noise())
    result = extract_regions(Noise(), provider, file)
    # What the kill cost is at most the row in hand; all else is done once.
    assert result.found + result.kept == 12 and result.kept >= 3 * kills - 1
    assert sorted({*first_time, *shown(journal)}) == list(range(12))
    undisturbed = extract_regions(Noise(), Halves(), tmp_path / "undisturbed.regions")
    assert result.content == undisturbed.content
    bound(file, Noise())


def test_only_changed_images_are_done_again_and_training_refuses_them_until_then(tmp_path):
    file, journal = tmp_path / "a.regions", tmp_path / "journal"
    provider, source = Halves(journal=str(journal)), photos(tmp_path / "photos", 6, "bmp")
    before = extract_regions(source, provider, file)
    assert shown(journal) == list(range(6))
    fingerprint = source.fingerprint()
    write(tmp_path / "photos/04.bmp", seed=99)
    assert source.fingerprint() == fingerprint  # it knows names and sizes, which are the same
    cache = bound(file, source)
    cache(source.load(3), 3)
    with pytest.raises(DenseCLError, match=r"image 4 has changed .*Run 'dense-cl regions'"):
        cache(source.load(4), 4)
    with pytest.raises(DenseCLError, match="image 5 has changed"):
        cache(source.load(3), 5)  # the pixels of one image never get the regions of another
    after = extract_regions(source, provider, file)
    assert shown(journal) == [4] and (after.found, after.kept) == (1, 5)
    assert after.content != before.content
    np.testing.assert_array_equal(
        bound(file, source)(source.load(4), 4).label_map,
        Halves()(source.load(4), 4).label_map,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_of_files_is_brought_up_to_date(tmp_path, workers):
    file, journal, folder = tmp_path / "a.regions", tmp_path / "journal", tmp_path / "photos"
    provider = Halves(journal=str(journal))
    extract_regions(photos(folder, 6), provider, file)
    assert shown(journal) == list(range(6))

    def update() -> list[str]:
        """Names of the images that are done; all must be as in a cache made of them at once."""
        source = FolderSource(folder)
        with pytest.raises(DenseCLError, match=r"other images, or some have.*Run 'dense-cl regio"):
            bound(file, source)
        result = extract_regions(source, provider, file, workers)
        done = [source.relative_name(index) for index in sorted(shown(journal))]
        assert (result.found, result.found + result.kept) == (len(done), len(source))
        (tmp_path / "fresh.regions").unlink(missing_ok=True)
        fresh = extract_regions(source, Halves(), tmp_path / "fresh.regions")
        assert fresh.content == result.content
        bound(file, source)(source.load(0), 0)
        return done

    Image.open(folder / "02.jpg").save(folder / "02.jpg", quality=30)  # encoded again
    assert update() == ["02.jpg"]
    write(folder / "-new.jpg", 7)  # before all others, which move by one
    assert update() == ["-new.jpg"]
    (folder / "03.jpg").rename(tmp_path / "03.jpg")
    write(folder / "04.jpg", 8)
    assert update() == ["04.jpg"]
    (tmp_path / "03.jpg").rename(folder / "03.jpg")
    assert update() == []  # its row was still there
    (folder / "-new.jpg").rename(folder / "renamed.jpg")
    assert update() == ["renamed.jpg"]


def test_the_same_image_twice_in_a_list(tmp_path):
    photos(tmp_path, 3)
    file, names = tmp_path / "a.regions", ["00.jpg", "01.jpg", "00.jpg"]
    done = extract_regions(FileSource(tmp_path, names), Halves(), file)
    assert (done.found, done.kept) == (3, 0)
    done = extract_regions(FileSource(tmp_path, names), Halves(), file)
    assert (done.found, done.kept) == (0, 3)
    swapped = FileSource(tmp_path, ["00.jpg", "00.jpg", "02.jpg", "01.jpg"])
    done = extract_regions(swapped, Halves(), file)
    assert (done.found, done.kept) == (2, 2)
    fresh = extract_regions(swapped, Halves(), tmp_path / "fresh.regions")
    assert fresh.content == done.content


def test_other_settings_and_other_data_are_refused_by_both(tmp_path):
    file = tmp_path / "a.regions"
    extract_regions(Noise(), Halves(), file)
    for attempt in (
        lambda source, provider: bound(file, source, provider),
        lambda source, provider: extract_regions(source, provider, file),
    ):
        with pytest.raises(DenseCLError, match=r"level was 128 and is now 100.*--out"):
            attempt(Noise(), Halves(100))
        with pytest.raises(DenseCLError, match=r"type was 'Halves' and is now 'Grid'"):
            attempt(Noise(), Grid())
        with pytest.raises(DenseCLError, match=r"noise-12 of 12 images, now other-9 of 9"):
            attempt(Noise(9, "other"), Halves())
    bound(file, Noise())  # and they left it as it was


def test_a_damaged_row_is_refused_and_done_again(tmp_path):
    file = tmp_path / "a.regions"
    good = extract_regions(Noise(), Halves(), file)
    with sqlite3.connect(file) as raw:
        (blob,) = raw.execute("SELECT label_map FROM regions WHERE image = 5").fetchone()
        flipped = bytes([*blob[:-9], blob[-9] ^ 1, *blob[-8:]])
        raw.execute("UPDATE regions SET label_map = ? WHERE image = 5", (flipped,))
    raw.close()
    source = Noise()
    cache = bound(file, source)
    cache(source.load(4), 4)
    with pytest.raises(DenseCLError, match=r"a\.regions' is damaged.*image 5"):
        cache(source.load(5), 5)
    repaired = extract_regions(source, Halves(), file)
    assert (repaired.found, repaired.content) == (1, good.content)


@pytest.mark.parametrize("damage", ["cut", "text", "none"])
def test_what_is_no_cache_is_refused(tmp_path, damage):
    file = tmp_path / "a.regions"
    if damage == "cut":
        extract_regions(Noise(), Halves(), file)
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "text":
        file.write_text("no cache at all, but longer than a header of SQLite would be" * 40)
    reason = "does not exist. Make it" if damage == "none" else "Delete it and run"
    with pytest.raises(DenseCLError, match=reason):
        cache = bound(file, Noise())
        for index in range(12):  # a file cut short may still open
            cache(Noise().load(index), index)


def test_unreadable_images_are_listed_and_too_many_stop_it(tmp_path):
    file = tmp_path / "a.regions"
    source = photos(tmp_path / "photos", 40)
    broken = [tmp_path / f"photos/{index:02}.jpg" for index in (2, 5, 7)]
    whole = broken[0].read_bytes()
    broken[0].write_bytes(whole[:300])
    done = extract_regions(source, Halves(), file)
    assert (done.found, done.unreadable) == (39, 1)
    (listed,) = (json.loads(line) for line in open(f"{file}.quarantine.jsonl"))
    assert listed["file"] == str(broken[0])
    cache = bound(file, source)
    with pytest.raises(DenseCLError, match="image 2 has no regions"):
        cache(source.load(3), 2)
    broken[0].write_bytes(whole)
    mended = extract_regions(source, Halves(), file)
    assert (mended.found, mended.kept, mended.unreadable) == (1, 39, 0)
    bound(file, source)(source.load(2), 2)
    for photo in broken:
        photo.write_bytes(b"no photo")
    with pytest.raises(DenseCLError, match="3 of 40 images cannot be read"):
        extract_regions(source, Halves(), tmp_path / "b.regions")


def test_a_provider_that_fails_names_the_image(tmp_path):
    with pytest.raises(DenseCLError, match=r"regions Halves failed on image 'noise/0': ValueError"):
        extract_regions(Noise(), Halves(level=300), tmp_path / "a.regions", workers=1)


def test_two_writers_do_not_mix(tmp_path):
    writer = CacheFile(tmp_path / "a.regions", write=True)
    with pytest.raises(DenseCLError, match="being written by another process"):
        extract_regions(Noise(), Halves(), tmp_path / "a.regions")
    writer.close()


def test_a_finished_cache_is_read_while_it_is_gone_through_again(tmp_path):
    source, file = Noise(), tmp_path / "a.regions"
    first = extract_regions(source, Halves(), file)
    training = bound(file, source)

    def read(done, total):
        training(source.load(done - 1), done - 1)
        nested = extract_regions(source, Halves(), file) if done == 5 else None  # another seed's
        assert nested is None or nested == again

    again = replace(first, found=0, kept=12)
    assert extract_regions(source, Halves(), file, progress=read) == again
    before = file.read_bytes()
    extract_regions(source, Halves(), file)
    assert file.read_bytes() == before


def test_a_cache_that_cannot_be_written_is_not_called_damaged(tmp_path):
    file = tmp_path / "a.regions"
    extract_regions(Noise(3), Halves(), file)
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, hard))  # as a full disk
    try:
        with pytest.raises(DenseCLError) as caught:
            extract_regions(Noise(40), Halves(), file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot be written (" in str(caught.value) and "Delete" not in str(caught.value)
    assert extract_regions(Noise(40), Halves(), file).kept >= 3  # and nothing is lost
    with pytest.raises(DenseCLError, match=r"cannot be written \(.*choose another file"):
        extract_regions(Noise(3), Halves(), file / "below.regions")
    (tmp_path / "folder.regions").mkdir()
    with pytest.raises(DenseCLError, match=r"cannot be written \(unable to open"):
        extract_regions(Noise(3), Halves(), tmp_path / "folder.regions")


def test_a_database_of_something_else_is_no_cache(tmp_path):
    with sqlite3.connect(tmp_path / "a.regions") as raw:
        raw.execute("CREATE TABLE songs (title TEXT)")
    raw.close()
    with pytest.raises(DenseCLError, match="damaged or no region cache"):
        bound(tmp_path / "a.regions", Noise())


def test_a_database_of_something_else_is_not_written_to(tmp_path):
    file = tmp_path / "mine.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = file.read_bytes()
    with pytest.raises(DenseCLError, match=r"something else \(tables mine\)"):
        CacheFile(file, write=True)
    assert file.read_bytes() == before


def test_caching_what_is_a_file_already_is_refused(tmp_path):
    with pytest.raises(DenseCLError, match="LabelMaps reads files that are there already"):
        RegionCache(str(tmp_path / "a"), LabelMaps(str(tmp_path)))


def test_the_command(tmp_path, capsys):
    from tests.engine.tiny import tiny_config, write_images

    images = write_images(tmp_path / "images", 5)
    cfg = tiny_config(images, tmp_path / "run")
    cfg.dump(tmp_path / "plain.py")
    file = tmp_path / "grid.regions"
    wanted = dict(type="RegionCache", file=str(file), provider=dict(type="Grid", rows=2))
    cfg.train_dataloader.dataset.regions = wanted
    cfg.dump(tmp_path / "cached.py")
    common = ["--data", str(images), "--workers", "0"]
    assert main(["regions", str(tmp_path / "cached.py"), *common]) == 0
    assert "grid.regions: 5 images done, 0 kept, 0 unreadable" in capsys.readouterr().out
    assert main(["regions", str(tmp_path / "cached.py"), *common, "--out", str(tmp_path)]) == 0
    assert "grid.regions: 0 images done, 5 kept" in capsys.readouterr().out  # named after Grid
    assert main(["regions", str(tmp_path / "plain.py"), *common]) == 2
    assert "has no train_dataloader.dataset.regions" in capsys.readouterr().err
    assert main(["regions", str(tmp_path / "plain.py"), *common, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "the recipe has no regions: it is Felzenszwalb's" in said.err
    assert "felzenszwalb.regions: 5 images done" in said.out
    option = "train_dataloader.dataset.regions.provider.rows=3"
    assert main(["regions", str(tmp_path / "cached.py"), *common, "--cfg-options", option]) == 2
    assert "rows was 2 and is now 3" in capsys.readouterr().err
