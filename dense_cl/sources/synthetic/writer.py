"""Folders of scenes: splits, progress, and no work done twice."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from dense_cl.errors import DenseCLError
from dense_cl.sources.synthetic.labels import SceneLabels, write_coco, write_scene
from dense_cl.sources.synthetic.scene import sample_scene

FORMAT_VERSION = 1
"""Raised whenever the same arguments give other pictures."""

_DONE = "scenes.json"  # written last: a folder without it is incomplete


def generate_scenes(
    out: str | Path,
    splits: Mapping[str, int],
    size: tuple[int, int] = (192, 192),
    seed: int = 0,
    labelled: int | None = None,
    image_format: str = "jpg",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Write scenes; do nothing if the folder already holds just these.

    For a split ``train``: ``train/000000.jpg``, ``annotations/instances_train.json`` (COCO, masks
    as run lengths), ``semantic/train/000000.png`` (0 background, 1 + category) and
    ``factors/train/000000.json`` (``Scene.to_dict``).

    Args:
        out: folder to write into.
        splits: names and numbers of scenes. Scenes of different splits differ; the first N of a
            split are the same however many follow.
        size: height, width in pixels.
        seed: with split and number all that a scene depends on.
        labelled: also write ``instances_<first split>_labelled.json`` of the first so many.
        image_format: ``jpg`` or ``png``.
        workers: processes to render with; the result is the same.
        progress: called with (scenes done, scenes in all) after each scene.

    Returns:
        The annotation file of each split, and of ``<first split>_labelled`` if asked for.

    Raises:
        DenseCLError: bad arguments, or the folder holds other scenes.
    """
    folder = Path(out).expanduser()
    _check(splits, labelled, image_format)
    request = {
        "version": FORMAT_VERSION, "splits": dict(splits), "size": list(size), "seed": seed,
        "labelled": labelled, "image_format": image_format,
    }  # fmt: skip
    done = folder / _DONE
    names = [*splits, *([f"{next(iter(splits))}_labelled"] if labelled else [])]
    written = {name: folder / "annotations" / f"instances_{name}.json" for name in names}
    if done.exists():
        if json.loads(done.read_text()) == request:
            return written
        raise DenseCLError(
            f"'{folder}' holds scenes of other settings (see its {_DONE}). Give another folder, or "
            f"remove it."
        )
    sample_scene(seed, 0, size)  # complains about the size before anything is written
    total = sum(splits.values())
    finished = 0
    for split, count in splits.items():
        for place in (split, f"semantic/{split}", f"factors/{split}", "annotations"):
            _make_folder(folder / place)
        render_one = partial(write_scene, folder, split, size, seed, image_format)
        labels = []
        for label in _map(render_one, range(count), workers):
            labels.append(label)
            finished += 1
            if progress:
                progress(finished, total)
        write_coco(written[split], labels)
        if f"{split}_labelled" in written:
            write_coco(written[f"{split}_labelled"], labels[:labelled])
    done.write_text(json.dumps(request, indent=2) + "\n")
    return written


def _check(splits: Mapping[str, int], labelled: int | None, image_format: str) -> None:
    if not splits or min(splits.values()) < 1:
        raise DenseCLError(f"numbers of scenes {dict(splits)}: give 1 or more for each split.")
    most = next(iter(splits.values()))
    if labelled is not None and not 1 <= labelled <= most:
        raise DenseCLError(f"{labelled} labelled scenes of {most}: give 1 to {most}.")
    if image_format not in ("jpg", "png"):
        raise DenseCLError(f"image format '{image_format}' is not known. Give 'jpg' or 'png'.")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DenseCLError(f"folder '{folder}' cannot be made: {error.strerror}.") from None


def _map(
    function: Callable[[int], SceneLabels], indices: Iterable[int], workers: int
) -> Iterator[SceneLabels]:
    if workers <= 1:
        yield from map(function, indices)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(function, indices, chunksize=8)
