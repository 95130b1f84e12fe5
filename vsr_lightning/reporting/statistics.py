"""Spread over seeds, and differences on the same test videos."""

import math
from collections.abc import Mapping
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap

from vsr_lightning.metrics import Metric
from vsr_lightning.reporting.results import Condition, Group, Result
from vsr_lightning.utils.formatting import with_interval, with_spread

RESAMPLES = 9999


class Difference(NamedTuple):
    """Mean of second minus first, the ends of its 95 % interval, and the numbers of test videos and shared seeds."""

    mean: float
    low: float
    high: float
    videos: int
    seeds: int


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
    """Return ``second`` minus ``first`` on the same test videos, averaged over the seeds that both have.

    The interval is the percentile bootstrap's (Efron 1979) over videos: how much other test videos could change the
    mean, for these trainings. How much other trainings could, the spread over seeds says.

    Returns:
        None if they share no seed, have no scores per frame of the same videos, or only of one video.
    """
    found = [
        by_video(two, score) - by_video(one, score)
        for one, two in product(first.results, second.results)
        if one.record["seed"] == two.record["seed"]
        and score in one.frames
        and score in two.frames
        and np.array_equal(np.unique(one.frames["video"]), np.unique(two.frames["video"]))
    ]
    per_video = np.mean(found, axis=0) if found else np.zeros(0)
    per_video = per_video[~np.isnan(per_video)]
    if len(per_video) < 2:
        return None
    low = high = mean = float(per_video.mean())
    if np.ptp(per_video) > 0:
        random = np.random.default_rng(0)
        means = bootstrap((per_video,), np.mean, n_resamples=RESAMPLES, batch=100, method="percentile", rng=random)
        low, high = map(float, means.confidence_interval)
    return Difference(mean, low, high, len(per_video), len(found))


def by_video(result: Result, score: str) -> np.ndarray:
    """Return the mean of a score over each test video's frames, in the videos' order; NaN for one without any."""
    there = ~np.isnan(result.frames[score])  # a video's first frame has no temporal error
    videos, place = np.unique(result.frames["video"], return_inverse=True)
    frames = np.bincount(place[there], minlength=len(videos))
    sums = np.bincount(place[there], result.frames[score][there], minlength=len(videos))
    return np.divide(sums, frames, out=np.full(len(videos), np.nan), where=frames > 0)


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
