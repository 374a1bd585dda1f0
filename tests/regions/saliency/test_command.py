"""``dense-cl saliency``: caches, grey maps, and going on after a kill."""

import json
import multiprocessing
import os
import re
import signal
import time

import numpy as np
import pytest
from PIL import Image

from dense_cl.cli import main
from dense_cl.engine.config import apply_options, load_config, parse_options
from dense_cl.errors import DenseCLError
from dense_cl.regions import extract
from dense_cl.regions.extract import extract_regions
from dense_cl.regions.providers import Grid, RegionCache
from dense_cl.regions.saliency import (
    MinimumBarrier,
    RobustBackground,
    SaliencyMasks,
    SpectralResidual,
)
from dense_cl.regions.saliency.map_folder import MapFolder
from dense_cl.registry import DATASETS
from dense_cl.sources import FolderSource
from dense_cl.sources.synthetic import render, sample_scene
from tests.engine.tiny import tiny_config


@pytest.fixture
def source(tmp_path) -> FolderSource:
    """Five scenes in two folders, and a blank photo."""
    for number in range(5):
        image = render(sample_scene(0, number, (48, 64))).image
        file = tmp_path / f"images/{'deep/' if number % 2 else ''}{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    Image.new("RGB", (64, 48), (90, 90, 90)).save(tmp_path / "images/blank.png")
    return FolderSource(tmp_path / "images")


def recipe(source, tmp_path, **saliency) -> str:
    cfg = tiny_config(tmp_path / "images", tmp_path / "run")
    if saliency:
        cfg.train_dataloader.dataset.saliency = saliency
    file = tmp_path / "recipe.py"
    cfg.dump(file)
    return str(file)


def label_maps(provider, source) -> list[np.ndarray]:
    return [provider(source.load(i), i).label_map for i in range(len(source))]


def test_the_command(source, tmp_path, capsys):
    file, maps = tmp_path / "found.saliency", tmp_path / "maps"
    provider = dict(type="MinimumBarrier", max_size=48)
    config = recipe(source, tmp_path, type="RegionCache", file=str(file), provider=provider)
    common = ["--data", str(tmp_path / "images"), "--workers", "0"]
    assert main(["saliency", config, *common]) == 0
    said = capsys.readouterr().out
    assert "found.saliency: 6 images done, 0 kept" in said
    assert "nothing is salient in 1 of 6 images" in said  # the blank one
    cache = RegionCache(str(file), provider)
    cache.bind(source)
    direct = label_maps(MinimumBarrier(max_size=48), source)
    assert sum((ids >= 0).any() for ids in direct) == 5
    for found, wanted in zip(label_maps(cache, source), direct, strict=True):
        np.testing.assert_array_equal(found, wanted)

    # The maps of what is in the cache already are made when they are asked for, once.
    # The cache stays as it is meanwhile, so that a training may read it.
    before = file.read_bytes()
    assert main(["saliency", config, *common, "--maps", str(maps)]) == 0
    said = capsys.readouterr().out
    assert "0 images done, 6 kept" in said and "maps: 6 new grey maps" in said
    assert main(["saliency", config, *common, "--maps", str(maps)]) == 0
    assert "maps: 0 new grey maps" in capsys.readouterr().out
    assert file.read_bytes() == before
    made = json.loads((maps / "saliency.json").read_text())["settings"]
    options = {name: made[name] for name in ("threshold", "min_share", "max_share")}
    given = SaliencyMasks(str(maps), **options)
    given.bind(source)
    for found, wanted in zip(label_maps(given, source), direct, strict=True):
        np.testing.assert_array_equal(found, wanted)
    (maps / "deep/1.png").unlink()
    assert main(["saliency", config, *common, "--maps", str(maps)]) == 0
    assert "maps: 1 new grey maps" in capsys.readouterr().out
    assert (maps / "deep/1.png").is_file()

    # A photo that was written again, be it of the same size, gets another map.
    (changed,) = [i for i in range(6) if source.name(i).endswith("/2.png")]
    later = (maps / "2.png").stat().st_mtime + 9
    os.utime(tmp_path / "images/2.png", (later, later))
    (maps / "2.png").write_bytes((maps / "0.png").read_bytes())
    assert main(["saliency", config, *common, "--maps", str(maps)]) == 0
    assert "0 images done, 6 kept" in capsys.readouterr().out
    given = SaliencyMasks(str(maps), **options)
    given.bind(source)
    image = source.load(changed)
    np.testing.assert_array_equal(given(image, changed).label_map, direct[changed])


def test_a_recipe_without_saliency_gets_some(source, tmp_path, capsys):
    config = recipe(source, tmp_path)
    common = ["--data", str(tmp_path / "images"), "--workers", "0"]
    assert main(["saliency", config, *common, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "the recipe has no saliency: it is RobustBackground's" in said.err
    assert f"{tmp_path / 'robust_background.saliency'}: 6 images done" in said.out
    cache = RegionCache(str(tmp_path / "robust_background.saliency"), RobustBackground())
    cache.bind(source)
    option = ["--cfg-options", "train_dataloader.dataset.saliency.type=SpectralResidual"]
    assert main(["saliency", config, *common, "--out", str(tmp_path), *option]) == 0
    assert "spectral_residual.saliency: 6 images done" in capsys.readouterr().out


def test_a_list_of_files_elsewhere_needs_their_root_and_says_how(source, tmp_path, capsys):
    config = recipe(source, tmp_path)
    (tmp_path / "lists").mkdir()
    listed = tmp_path / "lists/list.txt"
    listed.write_text("".join(f"{source.name(index)}\n" for index in range(len(source))))
    maps = tmp_path / "maps"
    args = ["saliency", config, "--data", str(listed), "--workers", "0", "--maps", str(maps),
            "--out", str(tmp_path)]  # fmt: skip
    assert main(args) == 2
    (option,) = re.findall(r"--cfg-options (\S+)=FOLDER", capsys.readouterr().err)
    assert main([*args, "--cfg-options", f"{option}={tmp_path / 'images'}"]) == 0
    assert (maps / "deep/1.png").is_file() and (maps / "blank.png").is_file()


def test_what_a_cache_says_of_masks_works(source, tmp_path, capsys):
    for index in range(len(source)):
        mask = (tmp_path / "masks" / source.relative_name(index)).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 48), 255).save(mask)
    wanted = dict(type="RegionCache", file="none", provider=dict(type="RobustBackground"))
    config = recipe(source, tmp_path, **wanted)
    key = "train_dataloader.dataset.saliency"
    options = [f"{key}.provider={{'_delete_':True,'type':'SaliencyMasks','root':'x'}}"]
    assert main(["saliency", config, "--out", "x", "--cfg-options", *options]) == 2
    (option,) = re.findall(r'--cfg-options "(.*)"', capsys.readouterr().err)
    option = option.replace("...", f"'root':'{tmp_path / 'masks'}'")
    cfg = load_config(config)
    apply_options(cfg, cfg_options=parse_options([option]))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert all(view.saliency.all() for view in dataset[0].views)


def test_mistakes_of_the_command(source, tmp_path, capsys):
    common = ["--data", str(tmp_path / "images"), "--workers", "0"]
    assert main(["saliency", recipe(source, tmp_path), *common]) == 2
    said = capsys.readouterr().err
    assert "has no train_dataloader.dataset.saliency" in said
    assert "--out FILE for RobustBackground" in said
    with pytest.raises(SystemExit):
        main(["saliency", "any", "--workers", "-1"])
    assert "-1 is out of range; it is 0 or more" in capsys.readouterr().err
    config = recipe(source, tmp_path, type="SpectralResidual")
    assert main(["saliency", config, *common]) == 2
    assert "the recipe's saliency is no RegionCache with a file" in capsys.readouterr().err
    out = ["--out", str(tmp_path)]
    option = "train_dataloader.dataset.saliency.widht=32"
    assert main(["saliency", config, *common, *out, "--cfg-options", option]) == 2
    assert "width" in capsys.readouterr().err
    grid = recipe(source, tmp_path, type="Grid")
    assert main(["saliency", grid, *common, *out, "--maps", str(tmp_path / "maps")]) == 2
    assert "Grid gives regions, not saliency" in capsys.readouterr().err


def test_messages_of_a_cache_name_the_command_that_makes_it(source, tmp_path):
    cache = RegionCache(str(tmp_path / "none"), SpectralResidual())
    with pytest.raises(DenseCLError, match="Make it with 'dense-cl saliency CONFIG'"):
        cache.bind(source)
    extract_regions(source, SpectralResidual(), tmp_path / "some")
    with pytest.raises(
        DenseCLError, match=r"width was 64 and is now 32.*'dense-cl saliency CONFIG"
    ):
        RegionCache(str(tmp_path / "some"), SpectralResidual(width=32)).bind(source)
    with pytest.raises(DenseCLError, match="Make it with 'dense-cl regions CONFIG'"):
        RegionCache(str(tmp_path / "none"), Grid()).bind(source)


def test_a_folder_of_other_maps_is_left_alone(source, tmp_path):
    MapFolder(SpectralResidual(), tmp_path / "maps", source)
    made = json.loads((tmp_path / "maps/saliency.json").read_text())
    assert made["settings"]["type"] == "SpectralResidual"
    with pytest.raises(DenseCLError, match="holds saliency maps of other settings"):
        MapFolder(SpectralResidual(width=32), tmp_path / "maps", source)
    with pytest.raises(DenseCLError, match="is not empty and has no saliency.json"):
        MapFolder(SpectralResidual(), tmp_path / "images", source)
    note = tmp_path / "maps/saliency.json"
    note.write_bytes(note.read_bytes()[:40])
    with pytest.raises(DenseCLError, match=r"saliency\.json' is damaged.*another folder"):
        MapFolder(SpectralResidual(), tmp_path / "maps", source)


def test_a_folder_of_maps_that_cannot_be_made_is_named(source, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DenseCLError, match=r"notes\.txt' cannot be made a folder of maps"):
        MapFolder(SpectralResidual(), tmp_path / "notes.txt", source)


def test_a_kill_leaves_no_half_a_note(source, tmp_path, monkeypatch):
    def killed(before, after):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        MapFolder(SpectralResidual(), tmp_path / "maps", source)
    monkeypatch.undo()
    assert not (tmp_path / "maps/saliency.json").exists()
    MapFolder(SpectralResidual(), tmp_path / "maps", source)
    assert json.loads((tmp_path / "maps/saliency.json").read_text())["settings"]["width"] == 64


def test_a_killed_extraction_goes_on_maps_included(source, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "_COMMIT_EVERY", 0.0)
    processes = multiprocessing.get_context("fork")
    done = processes.Value("i", 0)
    file = tmp_path / "killed.saliency"

    def run(maps, progress):
        folder = MapFolder(SpectralResidual(), maps, source)
        return extract_regions(source, folder, file, 0, progress, folder.missing())

    def report(now, total):
        done.value = now
        while now >= 3:  # hold still to be killed
            time.sleep(1)

    child = processes.Process(target=run, args=(tmp_path / "maps", report))
    child.start()
    while done.value < 3:
        assert child.is_alive()
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    result = run(tmp_path / "maps", lambda now, total: None)
    assert result.found + result.kept == 6 and result.kept >= 2
    undisturbed = extract_regions(source, SpectralResidual(), tmp_path / "undisturbed")
    assert result.content == undisturbed.content
    names = {str(f.relative_to(tmp_path / "maps").with_suffix("")) for f in
             (tmp_path / "maps").rglob("*.png")}  # fmt: skip
    assert names == {"0", "deep/1", "2", "deep/3", "4", "blank"}


def test_a_home_folder_and_a_new_folder_are_what_they_look_like(
    source, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = recipe(source, tmp_path, type="SpectralResidual")
    common = ["saliency", config, "--data", str(tmp_path / "images"), "--workers", "0"]
    assert main([*common, "--out", "~/x.saliency", "--maps", "~/maps"]) == 0
    assert (tmp_path / "x.saliency").is_file() and (tmp_path / "maps/blank.png").is_file()
    assert main([*common, "--out", f"{tmp_path}/new/"]) == 0
    assert (tmp_path / "new/spectral_residual.saliency").is_file()


def test_maps_are_kept_out_of_the_photos(source, tmp_path, capsys):
    config = recipe(source, tmp_path, type="SpectralResidual")
    args = ["saliency", config, "--data", str(tmp_path / "images"), "--workers", "0", "--out",
            str(tmp_path), "--maps", str(tmp_path / "images/maps")]  # fmt: skip
    assert main(args) == 2
    assert "lies in the folder of photos" in capsys.readouterr().err


def test_photos_of_tomorrow_and_photos_that_are_gone(source, tmp_path):
    tomorrow = time.time() + 86_400
    os.utime(source.name(0), (tomorrow, tomorrow))
    maps = MapFolder(SpectralResidual(), tmp_path / "maps", source)
    assert len(maps.missing()) == len(source)
    for index in range(len(source)):
        maps(source.load(index), index)
    assert maps.missing() == []
    os.remove(source.name(1))
    assert maps.missing() == [1]


def test_the_limit_of_unreadable_photos_is_the_recipes(source, tmp_path, capsys):
    (tmp_path / "images/torn.png").write_bytes(b"no picture")
    config = recipe(source, tmp_path, type="SpectralResidual")
    args = ["saliency", config, "--data", str(tmp_path / "images"), "--workers", "0", "--out",
            str(tmp_path)]  # fmt: skip
    assert main(args) == 2
    (option,) = re.findall(r"or raise (\S+)\.$", capsys.readouterr().err.strip())
    assert main([*args, "--cfg-options", f"{option}=0.5"]) == 0
    assert "1 unreadable" in capsys.readouterr().out
