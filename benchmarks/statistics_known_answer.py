"""Do the statistics of `dense-cl compare` keep their word? Simulated runs of known difference.

    python benchmarks/statistics_known_answer.py --comparisons 1000 --out FILE \
        --records RESULT.json

Each comparison is of two methods with S seeds each on N images. The value of an image is

    method + seed of the method + image + image with this method + image with this seed

each part normal, with the standard deviations of ``SCENARIOS``. It reports

- ``alarms``: how often two methods of equal expectation are called different (5 % at most), beside
  what was not chosen: the percentile interval of a plain hierarchical bootstrap, Student's t with
  Satterthwaite's degrees of freedom, and Cochran's mean of the t quantiles;
- ``found``: how often a planted difference is found that is twice the minimum detectable one,
  as a first comparison without any difference states it (``pilot``), or as such comparisons state
  it in the mean (``mean``); and of once the mean, which 80 % should find;
- with ``--records``, the same checkpoint twice: its real values by image, drawn with replacement.
  ``copies`` draws once for both, as an evaluation of two copies on one test set does,
  ``copies_apart`` draws other images for each copy.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t

from dense_cl.evaluation.statistics import Runs, difference

Array = NDArray[np.float64]

IMAGES, ALPHA = 200, 0.05
# Standard deviations: between seeds; of an image, for both methods; with a method; with a seed.
SCENARIOS = {
    "same checkpoint": (0.0, 0.3, 0.2, 0.0),
    "seeds hardly differ": (0.005, 0.3, 0.2, 0.2),
    "seeds and images alike": (0.015, 0.3, 0.1, 0.2),
    "seeds differ most": (0.05, 0.3, 0.1, 0.2),
}
SEEDS = (1, 2, 3, 5)


def main() -> None:
    """Simulate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=1000, metavar="N")
    parser.add_argument("--resamples", type=int, default=300, metavar="N")
    parser.add_argument("--records", type=Path, metavar="JSON", help="result with records")
    parser.add_argument("--field", default="knn", help="value in the records (knn)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="JSON")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    rows = []
    for scenario, deviations in SCENARIOS.items():
        for seeds in SEEDS:
            if seeds == 1 and deviations[0]:
                continue  # one run says nothing about seeds, and claims nothing about them
            row: dict[str, Any] = {"scenario": scenario, "seeds": seeds}
            row |= simulate(rng, seeds, deviations, args.comparisons, args.resamples)
            rows.append(row)
            print(as_text(row), flush=True)
    result: dict[str, Any] = {
        "settings": {
            "images": IMAGES, "alpha": ALPHA, "comparisons": args.comparisons,
            "resamples": args.resamples, "seed": args.seed, "deviations": SCENARIOS,
        },
        "simulated": rows,
    }  # fmt: skip
    if args.records:
        result["records"] = str(args.records)
        records = json.loads(args.records.read_text())["records"]
        values = np.array([float(record[args.field]) for record in records])
        result |= copies(rng, values, args.comparisons, args.resamples)
        print(result["copies"], result["copies_apart"])
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + "\n")


def simulate(
    rng: np.random.Generator,
    seeds: int,
    deviations: tuple[float, ...],
    comparisons: int,
    resamples: int,
) -> dict[str, Any]:
    """Compare methods of equal expectation, then of planted differences."""

    def pair(planted: float = 0.0) -> tuple[Runs, Runs]:
        of_seed, of_image, with_method, with_seed = deviations
        common = rng.normal(0, of_image, IMAGES)
        first, second = (
            common
            + rng.normal(0, of_seed, (seeds, 1))
            + rng.normal(0, with_method, IMAGES)
            + rng.normal(0, with_seed, (seeds, IMAGES))
            for _ in range(2)
        )
        numbers = tuple(range(seeds))
        return Runs.of_values(numbers, first + planted), Runs.of_values(numbers, second)

    def found(planted: Callable[[int], float]) -> dict[str, float]:
        return rate(
            difference(*pair(planted(number)), resamples=resamples).estimate.p_value() < ALPHA
            for number in range(comparisons)
        )

    nulls = [pair() for _ in range(comparisons)]
    compared = [difference(*null, resamples=resamples) for null in nulls]
    detectable = [each.estimate.detectable(ALPHA) for each in compared]
    typical = float(np.mean(detectable))
    return {
        "alarms": rate(each.estimate.p_value() < ALPHA for each in compared),
        "alarms_percentile": rate(percentile_alarm(rng, *null, resamples) for null in nulls),
        "alarms_satterthwaite": rate(satterthwaite_alarm(each.estimate) for each in compared),
        "alarms_cochran": rate(cochran_alarm(each.estimate) for each in compared),
        "detectable_mean": typical,
        "found_pilot_twice": found(lambda number: 2 * detectable[number]),
        "found_mean_twice": found(lambda number: 2 * typical),
        "found_mean_once": found(lambda number: typical),
    }


def copies(
    rng: np.random.Generator, values_N: Array, comparisons: int, resamples: int
) -> dict[str, Any]:
    """Compare a checkpoint with its copy on images drawn from its own records."""

    def shown(apart: bool) -> bool:
        draws = [rng.integers(len(values_N), size=len(values_N)) for _ in range(2)]
        first, second = (values_N[None, draws[apart * copy]] for copy in range(2))
        runs = Runs.of_values((0,), first), Runs.of_values((0,), second)
        return difference(*runs, resamples=resamples).estimate.p_value() < ALPHA

    return {
        "copies": rate(shown(False) for _ in range(comparisons)),
        "copies_apart": rate(shown(True) for _ in range(comparisons)),
    }


def percentile_alarm(rng: np.random.Generator, first: Runs, second: Runs, resamples: int) -> bool:
    """Whether the percentile interval of seeds, then images, drawn with replacement misses 0."""
    assert first.weighted is not None and second.weighted is not None
    alone_NN = first.images * np.eye(first.images)  # samples of nothing but one image
    difference_SN = (first.weighted(alone_NN) - second.weighted(alone_NN)).T
    seeds, images = difference_SN.shape
    drawn = [
        difference_SN[rng.integers(seeds, size=seeds)][:, rng.integers(images, size=images)].mean()
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2])
    return bool(low > 0 or high < 0)


def satterthwaite_alarm(estimate: Any) -> bool:
    """Whether a t-test with Satterthwaite's degrees of freedom would reject."""
    variance = sum(part.variance for part in estimate.parts)
    df = variance**2 / sum(part.variance**2 / part.df for part in estimate.parts)
    return bool(abs(estimate.value) > t.isf(ALPHA / 2, df) * variance**0.5)


def cochran_alarm(estimate: Any) -> bool:
    """Whether a t-test with quantiles averaged by variance would reject."""
    variance = sum(part.variance for part in estimate.parts)
    reach = sum(part.variance * t.isf(ALPHA / 2, part.df) for part in estimate.parts)
    return bool(abs(estimate.value) > reach / variance**0.5)


def rate(outcomes: Any) -> dict[str, float]:
    """Return a share with its 95 % interval."""
    seen = list(outcomes)
    interval = binomtest(sum(seen), len(seen)).proportion_ci(method="wilson")
    return {"rate": sum(seen) / len(seen), "low": float(interval.low), "high": float(interval.high)}


def as_text(row: dict[str, Any]) -> str:
    """Return a line of a table."""
    rates = {name: value["rate"] for name, value in row.items() if isinstance(value, dict)}
    parts = [f"{name} {value:.3f}" for name, value in rates.items()]
    return f"{row['scenario']:>24}, {row['seeds']} seeds: " + ", ".join(parts)


if __name__ == "__main__":
    main()
