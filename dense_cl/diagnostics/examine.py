"""All instruments on the features of one space."""

from dataclasses import asdict
from typing import Any

from torch import Tensor

from dense_cl.diagnostics.hardness import HARDEST, TEMPERATURES, hardness, similarity_histogram
from dense_cl.diagnostics.judge import judge, judge_hardness
from dense_cl.diagnostics.measure import label_measures, view_measures
from dense_cl.diagnostics.spectrum import covariance_spectrum
from dense_cl.diagnostics.sweep import temperature_sweep
from dense_cl.diagnostics.tolerance import has_pairs

_JUDGED = 10  # hardest negatives in the sentence
_FEW = 0.3  # of all negatives, up to which they say something
_SWEPT = 512  # labelled images that the sweep is fitted to and measured on, at most


def examine(
    views_NQD: Tensor,
    temperature: float | None = None,
    labelled_MQD: Tensor | None = None,
    labels_M: Tensor | None = None,
) -> dict[str, Any]:
    """Measure and judge the features of one space.

    Args:
        views_NQD: (N, Q, D) features of Q >= 2 views of N images.
        temperature: of the loss that works on them, if any: its hardness is judged.
        labelled_MQD: (M, 3, D) features of the centre and two views of labelled images.
        labels_M: (M,) int64 their classes.

    Returns:
        Plain values: ``channels``, ``measures``, ``judgements``, ``spectrum``, ``hardness``,
        ``similarity`` and, with labels, ``sweep``.
    """
    images, _, channels = views_NQD.shape
    first, second = views_NQD[:, 0], views_NQD[:, 1]
    measures = view_measures(views_NQD)
    judgements = judge(measures, images, channels)
    temperatures = sorted({*TEMPERATURES, *([temperature] if temperature else [])})
    share = hardness(first, second, temperatures, HARDEST)
    # Of few negatives the hardest ones are nearly all, which says nothing of the temperature.
    if temperature is not None and _JUDGED <= _FEW * (images - 1):
        hardest = share[temperatures.index(temperature), HARDEST.index(_JUDGED)].item()
        judgements.append(judge_hardness(hardest, _JUDGED, images - 1, temperature))
    centres, positives, negatives = similarity_histogram(first, second)
    result: dict[str, Any] = {
        "channels": channels,
        "spectrum": covariance_spectrum(first).tolist(),
        "hardness": {
            "temperatures": temperatures,
            "hardest": list(HARDEST),
            "share": share.tolist(),
        },
        "similarity": {
            "centres": centres.tolist(),
            "positives": positives.tolist(),
            "negatives": negatives.tolist(),
        },
    }
    if labelled_MQD is not None and labels_M is not None:
        by_label = label_measures(labelled_MQD[:, 0], labels_M)
        judgements += judge(by_label, len(labels_M), channels)
        measures |= by_label
        some = slice(None, None, -(-len(labels_M) // _SWEPT))
        if has_pairs(labels_M[some][1::2]):
            _, first, second = labelled_MQD[some].unbind(dim=1)
            result["sweep"] = temperature_sweep(first, second, labels_M[some])
    judged = [asdict(j) | {"verdict": j.verdict} for j in judgements]
    return {"measures": measures, "judgements": judged, **result}
