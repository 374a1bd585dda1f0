"""Invariance of a backbone, beside a random network and shuffled sets."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import RANDOM, open_backbone, untrained
from dense_cl.evaluation.invariance.firing import firing_rates
from dense_cl.evaluation.invariance.image_sets import ImageSets
from dense_cl.evaluation.invariance.set_features import set_features
from dense_cl.evaluation.invariance.whitening import Whitening, cosines_within
from dense_cl.evaluation.results import library_versions
from dense_cl.evaluation.statistics import Runs, summary

TOP = (10, 25)  # neurons of the firing-rate score

Scores = dict[str, Tensor]  # (S,) by set, or (C,) by class


def evaluate_invariance(
    backbone: str | Path | nn.Module,
    groups: Mapping[str, ImageSets],
    reference: ImageSets | None,
    settings: Mapping[str, Any],
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure how alike features are within sets of images that differ in one thing.

    Scores of a group, 1 (or 100) being most invariant:

    - ``<group>_cosine``: mean whitened cosine (``Whitening``) of two images of a set, or of an
      original and its changed versions; averaged over sets. 0 is as far apart as any two images.
    - ``<group>_firing10`` and ``_firing25``: firing rate of the best neurons in a set, in percent
      (``firing_rates``), averaged over sets, or over classes where there are several. For sets of
      three images or more.

    Args:
        backbone: exported file, ``random[:ARCH]``, or a module with stage maps.
        groups: sets of images by the name of what changes in them.
        reference: images that whitening is learnt from; None for those of all groups.
        settings: what the images are, for the result.
        seed: of random weights and of the shuffle.
        cache: folder where features are kept for the next time; None for none.
        progress: called with a line of text at each step.

    Returns:
        Plain values ready for JSON: ``scores``; ``intervals`` of 95 % over sets, None where all
        sets show the same; ``records`` by set; ``curves`` (mean cosine by strength of the
        change); ``shrinkage`` of the whitening covariance; and ``nulls`` with scores and records
        of shuffled sets (``permuted``) and, for a file, of the same architecture before any
        training (``random_init``).

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    if not groups:
        raise DenseCLError("there are no sets of images to measure; give at least one group.")
    few = [group for group, sets in groups.items() if len(sets.names) < 2]
    if few:
        raise DenseCLError(f"'{few[0]}' has a single set of images, and two are needed; give more.")
    name, frozen = open_backbone(backbone, seed)
    backbones = {"": frozen}
    if not isinstance(backbone, nn.Module) and str(backbone).partition(":")[0] != RANDOM:
        backbones["random_init"] = untrained(backbone, seed)
    features = {}
    for group, sets in groups.items():
        progress(f"features of {len(sets.names)} sets: {group}")
        features[group] = set_features(backbones, sets, cache)
    if reference is None:
        learnt = {key: [f for each in features.values() for f in each[key]] for key in backbones}
    else:
        progress("features of the reference images")
        learnt = set_features(backbones, reference, cache)
    whitenings = {key: Whitening.fit(torch.cat(parts)) for key, parts in learnt.items()}
    found: dict[str, Scores] = {name: {} for name in (*backbones, "permuted")}
    curves = {}
    for group, sets in groups.items():
        for key, by_set in features[group].items():
            found[key] |= _scores(group, by_set, sets, whitenings[key])
        shuffled = _shuffled(features[group][""], seed)
        found["permuted"] |= _scores(group, shuffled, sets, whitenings[""])
        if sets.strengths:
            cosines_SK = _to_original(features[group][""], whitenings[""])
            curves[group] = {
                "strength": list(sets.strengths),
                "cosine": cosines_SK.mean(dim=0).tolist(),
            }
    nulls = {name: _plain(scores, groups, seed) for name, scores in found.items() if name}
    return {
        "task": "invariance",
        "backbone": name,
        "seed": seed,
        **_plain(found[""], groups, seed),
        "nulls": nulls,
        "curves": curves,
        "shrinkage": whitenings[""].shrinkage,
        **frozen.facts(),
        "settings": dict(settings),
        "versions": library_versions(),
    }


def _scores(
    group: str, features: Sequence[Tensor], sets: ImageSets, whitening: Whitening
) -> Scores:
    """Return the scores of one group by set (cosine) and by class or set (firing)."""
    numbers = torch.repeat_interleave(torch.tensor([len(part) for part in features]))
    flat = torch.cat(list(features))
    if sets.strengths:
        cosines = _to_original(features, whitening).mean(dim=1)
    else:
        cosines = cosines_within(whitening(flat), numbers)
    scores = {f"{group}_cosine": cosines}
    if max(len(part) for part in features) >= 3:
        order = {name: number for number, name in enumerate(dict.fromkeys(sets.classes))}
        # Of a single class there is nothing to be told from: sets are compared as without classes.
        several = len(order) > 1
        classes = torch.tensor([order[name] for name in sets.classes])[numbers] if several else None
        firing = firing_rates(flat, numbers, classes)
        for top in TOP:
            if top <= flat.shape[1]:
                scores[f"{group}_firing{top}"] = firing.percent(top)
    return scores


def _shuffled(features: Sequence[Tensor], seed: int) -> Sequence[Tensor]:
    """Return sets of the same sizes whose images were drawn from all sets."""
    flat = torch.cat(list(features))
    order = torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))
    return flat[order].split([len(part) for part in features])


def _to_original(features: Sequence[Tensor], whitening: Whitening) -> Tensor:
    """Return (S, K - 1) cosines of the first image of each set with the others."""
    whitened = whitening(torch.cat(list(features))).view(len(features), len(features[0]), -1)
    return torch.cosine_similarity(whitened[:, :1], whitened[:, 1:], dim=2)


def _plain(scores: Scores, groups: Mapping[str, ImageSets], seed: int) -> dict[str, Any]:
    """Return scores, their intervals, and one record for each set that has a value of its own."""
    records: dict[str, dict[str, Any]] = {}
    means, intervals = {}, {}
    for name, values in scores.items():
        sets = groups[name.rpartition("_")[0]]
        known = values[values.isfinite()]  # sets of two images have no firing rate
        limits = summary(Runs.of_values((seed,), known[None].numpy())).interval()
        means[name] = known.mean().item()
        # Sets that all show the same say nothing of others, and infinity is no JSON.
        intervals[name] = [limit if math.isfinite(limit) else None for limit in limits]
        if len(values) == len(sets.names):
            for place, value in zip(sets.names, values.tolist(), strict=True):
                if math.isfinite(value):
                    records.setdefault(place, {"image": place})[name] = value
    return {
        "scores": means,
        "intervals": intervals,
        "records": list(records.values()),
    }
