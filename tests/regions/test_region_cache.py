"""Extraction into a cache, and what training makes of the cache."""

import json
import multiprocessing
import os
import pickle
import signal
import sqlite3
import time
from dataclasses import dataclass

import numpy as np
import pytest
from torch.utils.data import DataLoader

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.regions import extract
from dense_cl.regions.cache_file import CacheFile
from dense_cl.regions.extract import extract_regions
from dense_cl.regions.provider import RegionProvider
from dense_cl.regions.providers import Grid, LabelMaps, RegionCache
from dense_cl.regions.regions import ImageRegions
from dense_cl.sources.base import ImageSource, UnreadableImageError
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
    """Random images; ``changed`` ones have other pixels, ``broken`` ones none."""

    def __init__(self, count=12, changed=(), broken=()):
        self.count, self.changed, self.broken = count, changed, broken

    def __len__(self):
        return self.count

    def name(self, index):
        return f"noise/{index}"

    def load(self, index):
        if index in self.broken:
            raise UnreadableImageError(self.name(index), "truncated")
        rng = np.random.default_rng((index, index in self.changed))
        return rng.integers(0, 256, (20 + index, 30, 3), dtype=np.uint8)

    def fingerprint(self):
        return f"noise-{self.count}"


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
    provider = Halves(journal=str(journal))
    before = extract_regions(Noise(), provider, file)
    assert shown(journal) == list(range(12))
    changed = Noise(changed=(4, 7))
    cache = bound(file, changed)
    cache(changed.load(3), 3)
    with pytest.raises(DenseCLError, match=r"image 4 has changed .*Run 'dense-cl regions'"):
        cache(changed.load(4), 4)
    with pytest.raises(DenseCLError, match="image 5 has changed"):
        cache(changed.load(3), 5)  # the pixels of one image never get the regions of another
    after = extract_regions(changed, provider, file)
    assert shown(journal) == [4, 7] and (after.found, after.kept) == (2, 10)
    assert after.content != before.content
    np.testing.assert_array_equal(
        bound(file, changed)(changed.load(4), 4).label_map,
        Halves()(changed.load(4), 4).label_map,
    )


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
        with pytest.raises(DenseCLError, match=r"noise-12 of 12 images, now noise-9 of 9"):
            attempt(Noise(9), Halves())
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
    done = extract_regions(Noise(40, broken=(2,)), Halves(), file)
    assert (done.found, done.unreadable) == (39, 1)
    listed = [json.loads(line) for line in open(f"{file}.quarantine.jsonl")]
    assert listed == [{"file": "noise/2", "reason": "truncated"}]
    with pytest.raises(DenseCLError, match="image 2 has no regions"):
        bound(file, Noise(40))(Noise().load(2), 2)
    mended = extract_regions(Noise(40), Halves(), file)
    assert (mended.found, mended.kept, mended.unreadable) == (1, 39, 0)
    with pytest.raises(DenseCLError, match="3 of 40 images cannot be read"):
        extract_regions(Noise(40, broken=(1, 2, 3)), Halves(), tmp_path / "b.regions")


def test_a_provider_that_fails_names_the_image(tmp_path):
    with pytest.raises(DenseCLError, match=r"regions Halves failed on image 'noise/0': ValueError"):
        extract_regions(Noise(), Halves(level=300), tmp_path / "a.regions", workers=1)


def test_two_writers_do_not_mix(tmp_path):
    writer = CacheFile(tmp_path / "a.regions", write=True)
    with pytest.raises(DenseCLError, match="being written by another process"):
        extract_regions(Noise(), Halves(), tmp_path / "a.regions")
    writer.close()


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
    option = "train_dataloader.dataset.regions.provider.rows=3"
    assert main(["regions", str(tmp_path / "cached.py"), *common, "--cfg-options", option]) == 2
    assert "rows was 2 and is now 3" in capsys.readouterr().err
