"""The second stage of ORL: from a backbone, images and their regions to pairs of alike regions."""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import dense_cl
from dense_cl.errors import DenseCLError
from dense_cl.mining.extract import Crops, extract
from dense_cl.mining.features import FeatureStore, ImageFeatures
from dense_cl.mining.object_pairs import ObjectPairs, different
from dense_cl.mining.ranking import nearest_images, top_pairs
from dense_cl.mining.settings import MiningSettings
from dense_cl.regions.provider import IndexedProvider, RegionProvider
from dense_cl.sources.base import ImageSource, UnreadableImageError
from dense_cl.transfer.weights_file import replacing


def mine(
    backbone: str | Path,
    source: ImageSource,
    regions: RegionProvider,
    out: str | Path,
    settings: MiningSettings | None = None,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ObjectPairs:
    """Find pairs of alike regions of different images, and write them to a file.

    Xie et al., arXiv 2106.11952, stage 2. The neighbours of an image are found with the vector
    of its central square: the projection, if the file has a head (``dense-cl export
    --head-layers 2``), as in the authors' code, else the backbone's. Regions are compared by the
    backbone's vectors of their crops. Each crop goes through the backbone once; the authors' code
    repeats a region's for every image that it is a neighbour of.

    Until it is done, features lie in the folder ``<out>.parts``. Killed at any time, the same call
    goes on from there, with the same result; the ranking at the end is done anew.

    Args:
        backbone: exported backbone or pretraining checkpoint.
        source: images that are read by index. Unreadable ones have neither pairs nor neighbours.
        regions: what finds the regions of these images, or has them in a cache.
        out: file to write, ``.npz``.
        settings: None for the authors'.
        workers: processes that read images and cut crops; the result is the same.
        progress: called with (images done, images in all).

    Returns:
        The pairs. ``meta`` has the hash of the backbone file, the fingerprint of the images, the
        settings of the regions and of mining, the version of the library, and the names of
        unreadable images with their reasons.

    Raises:
        DenseCLError: ``out`` or its parts are of other inputs, or too few images are readable.
    """
    settings = settings or MiningSettings()
    out = Path(out).expanduser()
    _enough(len(source), settings)
    if not Path(backbone).is_file():
        raise DenseCLError(
            f"backbone '{backbone}' does not exist. Give a checkpoint of 'dense-cl pretrain' or"
            " what 'dense-cl export' wrote."
        )
    if isinstance(regions, IndexedProvider):
        regions.bind(source)
    request = {
        "backbone": hashlib.sha256(Path(backbone).read_bytes()).hexdigest()[:16],
        "data_fingerprint": source.fingerprint(),
        "regions": regions.settings(),
        "dense_cl": dense_cl.__version__,
        **asdict(settings),
    }
    folder = out.with_name(f"{out.name}.parts")
    if out.exists():
        found = ObjectPairs.read(out)
        differences = different(found.meta, request)
        if differences:
            raise DenseCLError(
                f"'{out}' was made with other settings ({differences}). Give another file, or"
                " remove it."
            )
        shutil.rmtree(folder, ignore_errors=True)
        if not _mended(source, found):
            return found
    store = FeatureStore(folder, request, len(source))
    extract(store, backbone, Crops(source, regions, settings), workers, progress)
    features = store.read()
    unreadable = {source.name(i): f.reason for i, f in enumerate(features) if f.reason}
    pairs = rank(features, settings, request | {"unreadable": unreadable})
    with replacing(out) as temporary:
        temporary.write_bytes(pairs.to_bytes())
    shutil.rmtree(folder)
    return pairs


def _enough(readable: int, settings: MiningSettings) -> None:
    if readable <= settings.neighbours:
        raise DenseCLError(
            f"mining: {settings.neighbours} neighbours of every image need"
            f" {settings.neighbours + 1} images that can be read; there are {readable}."
        )


def _mended(source: ImageSource, found: ObjectPairs) -> bool:
    """Tell whether an image can be read now that could not be read before."""
    unreadable = found.meta["unreadable"]
    for index in range(len(source) if unreadable else 0):
        if source.name(index) in unreadable:
            with contextlib.suppress(UnreadableImageError):
                source.load(index)
                return True
    return False


def rank(
    features: Sequence[ImageFeatures], settings: MiningSettings, meta: dict[str, Any]
) -> ObjectPairs:
    """Find the neighbours of every image, and the pairs of regions with each of them.

    Raises:
        DenseCLError: fewer than K + 1 readable images.
    """
    readable = np.array([i for i, image in enumerate(features) if not image.reason])
    _enough(len(readable), settings)
    counts = [len(image.boxes) for image in features]
    box_starts = np.concatenate([[0], np.cumsum(counts)])
    neighbours = np.full((len(features), settings.neighbours), -1, dtype=np.int32)
    vectors = np.stack([features[i].vector for i in readable])
    neighbours[readable] = readable[nearest_images(vectors, settings.neighbours)]
    pairs = [
        top_pairs(features[i].regions, features[j].regions, settings.keep) + box_starts[[i, j]]
        if j >= 0
        else np.empty((0, 2), np.int64)
        for i, row in enumerate(neighbours)
        for j in row
    ]
    return ObjectPairs(
        boxes=np.concatenate([image.boxes for image in features]).astype(np.int32),
        box_starts=box_starts,
        neighbours=neighbours,
        pairs=np.concatenate(pairs).astype(np.int32),
        pair_starts=np.concatenate([[0], np.cumsum([len(p) for p in pairs])]),
        meta=meta,
    )
