"""One score of a method's runs, and what their records say of the images behind it."""

from collections.abc import Sequence

import numpy as np
import torch

from dense_cl.errors import DenseCLError, nearest
from dense_cl.evaluation.average_precision import SCORES as PRECISIONS
from dense_cl.evaluation.average_precision import Matches
from dense_cl.evaluation.confusion import SegmentationScores
from dense_cl.evaluation.panoptic_quality import SCORES as QUALITIES
from dense_cl.evaluation.results import confusions
from dense_cl.evaluation.statistics import Runs
from dense_cl.report.compare_results import Result

_CONFUSIONS = tuple(name for name in SegmentationScores.__annotations__ if name != "iou")
_AGREE = 1e-4  # relative error up to which records are what a score was made of


def runs_of(results: Sequence[Result], score: str) -> Runs:
    """Put one score of a method's seeds together with what its records say about images.

    Records belong to a score if each has a number of the score's name and their mean is the score,
    if each has a ``confusion`` matrix (entries of ``results.sparse``) and their sum gives the
    score, or if each says which detections found an object, or how many segments were found, and
    average precision or panoptic quality follow from that.

    Args:
        results: of one method and task, checked by ``read_results``.
        score: its name.

    Raises:
        DenseCLError: a result lacks the score.
    """
    for result in results:
        if score not in result.scores:
            raise DenseCLError(
                f"'{result.file}' has no score '{score}'.{nearest(score, result.scores)}"
            )
    seeds = tuple(result.seed for result in results)
    stated = np.array([result.scores[score] for result in results], dtype=np.float64)
    images = sorted(results[0].records)
    rows = [[result.records[image] for image in images] for result in results]
    every = [record for row in rows for record in row]
    kind, _, precision = score.partition("_")
    found = None
    if every and all(isinstance(record.get(score), int | float) for record in every):
        found = Runs.of_values(seeds, np.array([[r[score] for r in row] for row in rows], float))
    elif every and score in _CONFUSIONS and all("confusion" in record for record in every):
        counts = [
            confusions({**result.content, "records": row})
            for result, row in zip(results, rows, strict=True)
        ]
        found = Runs.of_confusions(seeds, torch.stack(counts).numpy(), score)
    elif every and precision in PRECISIONS and all(f"{kind}.found" in r for r in every):
        found = Runs.of_matches(seeds, [Matches.of_records(row, kind) for row in rows], precision)
    elif every and score in QUALITIES and all("segments" in record for record in every):
        found = Runs.of_segments(seeds, [[r["segments"] for r in row] for row in rows], score)
    if found is not None and np.allclose(found.scores_S, stated, rtol=_AGREE, atol=1e-9):
        return found
    return Runs(seeds, stated)
