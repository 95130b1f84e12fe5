"""Do the metrics agree? Rank correlations between all of them, over runs and over test videos, with intervals."""

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isnan

import numpy as np
from scipy.stats import rankdata

from vsr_lightning.metrics import Metric
from vsr_lightning.reporting.intervals import Interval
from vsr_lightning.reporting.results import Condition, Group, Result
from vsr_lightning.reporting.statistics import by_unit
from vsr_lightning.utils.formatting import Rows

RESAMPLES = 999
FEWEST = 4  # runs, or videos, that say anything of an order
Agreement = dict[tuple[str, str], Interval]  # of each two metrics


def over_runs(conditions: Sequence[Condition], metrics: Mapping[str, Metric], names: Sequence[str]) -> Agreement:
    """Return Spearman's correlation of each two metrics over all trained runs, better being higher in all.

    The 95 % interval is the percentile bootstrap's over conditions and, of each, over seeds: it says how much other
    losses or networks of the same kind, trained anew, could change the correlation.
    """
    scores = [_oriented(it, metrics, names) for it in conditions if _scored(it, names)]
    if sum(map(len, scores)) < FEWEST or len(scores) < 2:
        return {}
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        some = [scores[place] for place in rng.integers(len(scores), size=len(scores))]
        seeds = [condition[rng.integers(len(condition), size=len(condition))] for condition in some]
        drawn.append(rank_correlations(np.concatenate(seeds)))
    return _agreement(names, rank_correlations(np.concatenate(scores)), np.array(drawn))


def over_videos(group: Group, names: Sequence[str]) -> Agreement:
    """Return Spearman's correlation of each two metrics over test videos, the mean over the group's trained runs.

    Of few videos, over parts of them. The 95 % interval is the percentile bootstrap's over videos, each of which keeps
    its rank among all.
    """
    results = [result for condition in group.conditions if condition.results[0].trained for result in condition.results]
    tables = [_of_videos(result, group.metrics, names) for result in results if set(names) <= result.frames.keys()]
    tables = [table for table in tables if len(table) == len(tables[0])]
    if not tables or len(tables[0]) < FEWEST:
        return {}
    ranks = [rankdata(table, axis=0) for table in tables]
    rng = np.random.default_rng(0)
    videos = rng.integers(len(tables[0]), size=(RESAMPLES, len(tables[0])))
    drawn = np.mean([[_correlations(of_run[some]) for some in videos] for of_run in ranks], axis=0)
    return _agreement(names, np.mean([_correlations(of_run) for of_run in ranks], axis=0), drawn)


def as_rows(found: Agreement, metrics: Mapping[str, Metric], names: Sequence[str]) -> Rows:
    """Return the lower triangle of a table, ``+0.93 (+0.71 to +0.98)`` or ``-`` without order; [] of no agreement."""
    rows: Rows = []
    for place, one in enumerate(names[1:] if found else (), start=1):
        cells = {metrics[other].title: found[other, one] for other in names[:place]}
        shown = {
            title: "-" if isnan(it.mean) else "{:+.2f} ({:+.2f} to {:+.2f})".format(*it) for title, it in cells.items()
        }
        rows.append({"": metrics[one].title, **shown})
    return rows


def rank_correlations(table: np.ndarray) -> np.ndarray:
    """Return Spearman's correlations (1904) of the columns of (n, metrics), (metrics, metrics); NaN without order."""
    return _correlations(rankdata(table, axis=0))


def _correlations(columns: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(columns.T)


def _scored(condition: Condition, names: Sequence[str]) -> bool:
    return condition.results[0].trained and all(len(condition.scores(name)) for name in names)


def _oriented(condition: Condition, metrics: Mapping[str, Metric], names: Sequence[str]) -> np.ndarray:
    """(seeds, metrics), higher is better."""
    return np.stack([_sign(metrics[name]) * condition.scores(name) for name in names], axis=1)


def _of_videos(result: Result, metrics: Mapping[str, Metric], names: Sequence[str]) -> np.ndarray:
    """(videos, metrics), higher is better, of the videos that have all of them."""
    table = np.stack([_sign(metrics[name]) * by_unit(result, name) for name in names], axis=1)
    return table[~np.isnan(table).any(1)]


def _sign(metric: Metric) -> int:
    return 1 if metric.higher_is_better else -1


def _agreement(names: Sequence[str], found: np.ndarray, drawn: np.ndarray) -> Agreement:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a metric that is the same in all runs: it has no order
        low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    return {
        (names[i], names[j]): Interval(float(found[i, j]), float(low[i, j]), float(high[i, j]))
        for i, j in combinations(range(len(names)), 2)
    }
