"""One score of a method's runs, and what their records say of the images behind it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dense_cl.errors import DenseCLError, nearest
from dense_cl.evaluation.average_precision import SCORES as PRECISIONS
from dense_cl.evaluation.average_precision import Matches
from dense_cl.evaluation.confusion import SegmentationScores
from dense_cl.evaluation.panoptic_quality import SCORES as QUALITIES
from dense_cl.evaluation.results import counts_by_class
from dense_cl.evaluation.statistics import Runs
from dense_cl.evaluation.statistics.runs import EPISODES, QUERY_PHOTOS
from dense_cl.report.compare_file import Result

_CONFUSIONS = tuple(name for name in SegmentationScores.__annotations__ if name != "iou")
_AGREE = 1e-4  # relative error up to which records are what a score was made of


def runs_of(results: Sequence[Result], score: str) -> Runs:
    """Put one score of a method's seeds together with what its records say about images.

    Records belong to a score if each has a number of the score's name and their mean is the score,
    if each has a ``confusion`` matrix (entries of ``results.sparse``) and their sum gives the
    score, or if each says which detections found an object, what a classifier of several labels
    gave it, or how many segments were found, and average precision or panoptic quality follow
    from that. If that is not so for one of the seeds, records are not used, and ``Runs.lacking``
    says why.

    Args:
        results: of one method and task, checked by ``read_results``.
        score: its name.

    Raises:
        DenseCLError: a result lacks the score, its score is no finite number, or its records
            cannot be read.
    """
    for result in results:
        if score not in result.scores:
            raise DenseCLError(
                f"'{result.file}' has no score '{score}'.{nearest(score, result.scores)}"
            )
        if not math.isfinite(result.scores[score]):
            raise DenseCLError(
                f"the score {score} of '{result.file}' is {result.scores[score]}; a run that failed"
                " cannot be compared. Leave the file out, or choose another score with --scores."
            )
    seeds = tuple(result.seed for result in results)
    stated = np.array([result.scores[score] for result in results], dtype=np.float64)
    method = results[0].method
    without = [result.seed for result in results if not result.records]
    if without:
        whole = len(without) == len(results)
        lacking = "" if whole else f" of {method} with seed {', '.join(map(str, without))}"
        return Runs(seeds, stated, lacking=f"no records by image{lacking}")
    try:
        found = _of_records(results, score)
    except (DenseCLError, ValueError, TypeError, IndexError) as error:
        files = "', '".join(str(result.file) for result in results)
        raise DenseCLError(f"the records of '{files}' cannot be used: {error}") from None
    if found is None:
        return Runs(seeds, stated, lacking=f"no records of {score} by image")
    for seed, given, said in zip(seeds, found.scores_S, stated, strict=True):
        if not np.isclose(given, said, rtol=_AGREE, atol=1e-9):
            lacking = f"records of {method} with seed {seed} that give {given:.4g} and not the "
            return Runs(seeds, stated, lacking=f"{lacking}{score} of {said:.4g}")
    return replace(found, unit=_unit(results[0]))


def _unit(result: Result) -> str:
    """Return what records are of (``Runs.unit``)."""
    if result.content["task"] == "keypoints":
        return QUERY_PHOTOS
    many_draws = EPISODES in result.content["settings"] and all(
        name.startswith("episode ") for name in result.records
    )
    return EPISODES if many_draws else "images"


def _of_records(results: Sequence[Result], score: str) -> Runs | None:
    """Return the score as the records give it, or None if they say nothing of it."""
    seeds = tuple(result.seed for result in results)
    images = sorted(results[0].records)
    rows = [[result.records[image] for image in images] for result in results]
    every = [record for row in rows for record in row]
    kind, _, precision = score.partition("_")
    if all(is_number(record.get(score)) for record in every):
        return Runs.of_values(seeds, np.array([[r[score] for r in row] for row in rows], float))
    if score in _CONFUSIONS and all("confusion" in record for record in every):
        counts = [
            counts_by_class({**result.content, "records": row})
            for result, row in zip(results, rows, strict=True)
        ]
        return Runs.of_confusions(seeds, np.stack(counts), score)
    matches = {f"{kind}.found", f"{kind}.truths"}
    if precision in PRECISIONS and all(matches <= record.keys() for record in every):
        return Runs.of_matches(seeds, [Matches.of_records(row, kind) for row in rows], precision)
    if score == "mean_average_precision" and all({"logits", "labels"} <= r.keys() for r in every):
        logits, labels = (
            np.array([[record[key] for record in row] for row in rows], float)
            for key in ("logits", "labels")
        )
        return Runs.of_rankings(seeds, logits, labels > 0)
    if score in QUALITIES and all("segments" in record for record in every):
        return Runs.of_segments(seeds, [[r["segments"] for r in row] for row in rows], score)
    return None


def is_number(value: Any) -> bool:
    """Tell whether a value can be counted with."""
    return isinstance(value, int | float) and math.isfinite(value)
