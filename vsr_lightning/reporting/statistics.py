"""Spread over seeds, and differences on the same test videos."""

import math
from collections.abc import Mapping
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from vsr_lightning.metrics import Metric
from vsr_lightning.reporting.intervals import interval, same_order
from vsr_lightning.reporting.results import Condition, Group, Result
from vsr_lightning.runs.frames import units
from vsr_lightning.utils.formatting import with_interval, with_spread


class Difference(NamedTuple):
    """Mean of second minus first, the ends of its 95 % interval, the numbers of test videos and of shared seeds.

    ``same_order`` is the probability that another training would order the two the same; NaN for one seed.
    """

    mean: float
    low: float
    high: float
    videos: int
    seeds: int
    same_order: float


def mean_and_spread(scores: np.ndarray) -> tuple[float, float]:
    """Return the mean over seeds and their standard deviation (n - 1); NaN where there are too few for it."""
    spread = float(scores.std(ddof=1)) if len(scores) > 1 else math.nan
    return float(scores.mean()) if len(scores) else math.nan, spread


def score_cells(condition: Condition, metrics: Mapping[str, Metric]) -> dict[str, str]:
    """Return mean and spread of each metric, by its title."""
    return {it.title: with_spread(*mean_and_spread(condition.scores(name))) for name, it in metrics.items()}


def difference_cell(found: Difference | None) -> str:
    """Return a difference with its interval, or a dash."""
    return with_interval(*found[:3]) if found else "-"


def paired_difference(first: Condition, second: Condition, score: str) -> Difference | None:
    """Return ``second`` minus ``first`` on the same test videos and from the same seeds, with its interval over both.

    See :func:`vsr_lightning.reporting.intervals.interval`; of one seed it covers other test videos only. Of few videos,
    parts of them count as videos do, see :func:`vsr_lightning.runs.frames.units`.

    Returns:
        None if they share no seed, have no scores per frame of the same videos, or only of one.
    """
    values = paired_values(first, second, score)
    if values.shape[1] < 2:
        return None
    return Difference(*interval(values), values.shape[1], len(values), same_order(values.mean(1)))


def paired_values(first: Condition, second: Condition, score: str) -> np.ndarray:
    """Return ``second`` minus ``first`` of each seed that both have, on each test video or part, (seeds, units).

    Units without a score in any of the runs are left out; (0, 0) where nothing is shared.
    """
    found = [
        by_unit(two, score) - by_unit(one, score)
        for one, two in product(first.results, second.results)
        if one.record["seed"] == two.record["seed"]
        and score in one.frames
        and score in two.frames
        and np.array_equal(_units(one), _units(two))
    ]
    values = np.array(found) if found else np.zeros((0, 0))
    return values[:, ~np.isnan(values).any(0)] if found else values


def by_unit(result: Result, score: str) -> np.ndarray:
    """Return the mean of a score over the frames of each test video, in their order; NaN for one without any.

    Of few videos, it is of each part of one.
    """
    there = ~np.isnan(result.frames[score])  # a video's first frame has no temporal error
    units, place = np.unique(_units(result), return_inverse=True)
    frames = np.bincount(place[there], minlength=len(units))
    sums = np.bincount(place[there], result.frames[score][there], minlength=len(units))
    return np.divide(sums, frames, out=np.full(len(units), np.nan), where=frames > 0)


def _units(result: Result) -> np.ndarray:
    return units(result.frames["video"], result.frames.get("frame", np.zeros(len(result.frames["video"]))))


def pairs(group: Group) -> list[tuple[Condition, Condition]]:
    """Return the pairs of conditions that differ in nothing but the loss, then those in nothing but the network."""
    trained = [condition for condition in group.conditions if condition.results[0].trained]
    return [
        (one, two)
        for choice in ("loss", "model")
        for one, two in combinations(trained, 2)
        if _without(choice, one) == _without(choice, two)
    ]


def _without(choice: str, condition: Condition) -> tuple[str, list[str]]:
    """Return a condition's identity but for ``choice``, loss or model, and its keys: equal if only that differs."""
    other = condition.results[0].record["model" if choice == "loss" else "loss"]
    return other, [part for part in condition.swept if not part.startswith(f"{choice}.")]
