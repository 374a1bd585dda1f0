"""Segmentation by nearest-neighbour retrieval of patches: nothing is learnt but a memory.

Balažević et al., "Towards In-Context Scene Understanding", arXiv 2306.01667; see ``hummingbird``.
As in vpariza/open-hummingbird-eval 30 neighbours are found (here exactly) and vote at temperature
0.02. What differs from it: photos keep their aspect ratio and are not augmented; predictions are
enlarged to the full size of the masks; void pixels give a memory patch no label instead of that of
class 0; and classes are scored as they are, without a Hungarian matching.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.data_identity import check_disjoint
from dense_cl.evaluation.examples import draw_segmentations
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import open_backbone
from dense_cl.evaluation.hummingbird import TEMPERATURE, K, transfer_labels
from dense_cl.evaluation.mask_folders import MaskFolders, check_sets
from dense_cl.evaluation.patch_memory import PatchMemory
from dense_cl.evaluation.pixel_counts import PixelCounts, iou_by_class, plain_scores
from dense_cl.evaluation.results import make_result
from dense_cl.evaluation.retrieval_pictures import draw_retrievals

MEMORY = 1_000_000


def evaluate_retrieval(
    backbone: str | Path | torch.nn.Module,
    train: MaskFolders,
    test: MaskFolders,
    size: tuple[int, int] = (240, 320),
    stage: int = -1,
    k: int = K,
    temperature: float = TEMPERATURE,
    memory: int = MEMORY,
    seed: int = 0,
    classes: Sequence[str] = (),
    extraction: Extraction | None = None,
    pictures: str | Path | None = None,
) -> dict[str, Any]:
    """Label the patches of ``test`` by those of ``train`` that they resemble, and score the masks.

    Args:
        backbone: exported file, ``random``, ``random:ARCH``, ``FILE:ARCH``, or a module.
        train: photos and masks that are remembered.
        test: photos and masks that are scored.
        size: (height, width) the photos are resized to.
        stage: whose cells are the patches; -1 is the last.
        k: neighbours that vote.
        temperature: of their votes.
        memory: patches that are remembered at most; if there are more, as many of each photo,
            rare classes first (``balanced_sample``).
        seed: of that choice, and of a random backbone.
        classes: names for the result, in the order of the mask values.
        extraction: cache, workers and progress.
        pictures: folder for some predictions and some patches with those that resemble them most;
            records name them relative to its parent.

    Returns:
        A result (see ``results``) with ``iou`` by class.

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    if k < 1 or temperature <= 0:
        raise DenseCLError(
            f"{k} neighbours at temperature {temperature}: one at least must vote, and the"
            " temperature is above 0."
        )
    if memory < len(train):
        raise DenseCLError(
            f"a memory of {memory} patches is less than one for each of {len(train)} photos."
        )
    name, frozen = open_backbone(backbone, seed)
    options = extraction or Extraction()
    sets = {"training": train, "test": test}
    check_disjoint({what: folders.files() for what, folders in sets.items()})
    check_sets(sets, options.progress)
    (maps,) = options.maps(frozen, train.pictures(size), [stage], "training")
    remembered = PatchMemory.of(maps, train, memory, seed)
    (queries,) = options.maps(frozen, test.pictures(size), [stage], "test")
    options.progress(f"labels of {len(test)} photos from {len(remembered.shares_MK)} patches")

    def predict(index: int, full: tuple[int, int]) -> Tensor:
        patches = queries[index].flatten(1).T
        labels = transfer_labels(
            remembered.features_MD, remembered.shares_MK, patches, k, temperature
        )
        cells = labels.T.unflatten(1, queries.shape[2:])
        fine = F.interpolate(cells[None], size=full, mode="bilinear", align_corners=False)
        return fine[0].max(dim=0).indices  # faster than argmax across planes

    counts = PixelCounts.of(test, predict)
    scores = counts.scores()
    records = draw_segmentations(counts.records(), test, predict, pictures)
    draw_retrievals(records, train, test, remembered, queries, pictures)
    return make_result(
        "retrieval",
        name,
        seed,
        plain_scores(scores),
        records,
        {
            "size": list(size),
            "stage": stage,
            "k": k,
            "temperature": temperature,
            "memory": memory,
            "classes": train.num_classes,
            "images": {"train": len(train), "test": len(test)},
            "data": {what: folders.identity() for what, folders in sets.items()},
            "ignore": sorted(train.ignore),
        },
        iou=iou_by_class(scores, classes),
        patches=len(remembered.shares_MK),
        **frozen.facts(),
    )
