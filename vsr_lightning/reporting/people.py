"""What people chose, as numbers: shares with intervals, and a ranking by Bradley and Terry's model.

Choices are counts (voters, K, K) of K conditions: how often each voter preferred that of the row to that of the column.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

RESAMPLES = 999
TOLERANCE, STEPS = 1e-9, 100_000  # of the fit: largest change of a strength, and after how many steps to give up


class Share(NamedTuple):
    """Share of the votes that preferred the first, the ends of its 95 % interval, and the number of votes."""

    share: float
    low: float
    high: float
    votes: int


def preference(first: int, second: int) -> Share | None:
    """Return the share of the votes that went to the first, with Wilson's interval (1927); None without any vote."""
    if not (votes := first + second):
        return None
    interval = binomtest(first, votes).proportion_ci(0.95, method="wilson")
    return Share(first / votes, float(interval.low), float(interval.high), votes)


def strengths(wins: np.ndarray) -> np.ndarray:
    """Fit Bradley and Terry's model (1952) to counts of preferences, by Hunter's MM algorithm (2004, section 3).

    It says that i is preferred to j with probability s(a_i - a_j), s the logistic function. Half a win each way is
    added to every pair: a condition that won all its votes, or was never compared with some of the others, has no
    finite estimate otherwise.

    Args:
        wins: (..., K, K), how often that of the row was preferred to that of the column.

    Returns:
        (..., K) strengths a, with mean 0.

    Raises:
        ArithmeticError: it does not converge.
    """
    others = 1 - np.eye(wins.shape[-1])
    won = (wins + 0.5) * others
    compared = won + np.swapaxes(won, -1, -2)
    a = np.zeros(wins.shape[:-1])
    for _ in range(STEPS):
        p = np.exp(a)
        before, a = a, np.log(won.sum(-1) / (compared / (p[..., :, None] + p[..., None, :])).sum(-1))
        a -= a.mean(-1, keepdims=True)
        if np.abs(a - before).max() < TOLERANCE:
            return a
    raise ArithmeticError(f"the ranking by people's votes does not converge in {STEPS} steps")


def strength_intervals(wins: np.ndarray, resamples: int = RESAMPLES) -> np.ndarray:
    """Return the ends of each strength's 95 % percentile bootstrap interval, (2, K), of choices (voters, K, K).

    Voters are drawn with replacement, and of each the votes (Davison and Hinkley 1997, section 3.8); of one voter
    only the votes. Drawing voters alone would make of two who agree an interval without width.
    """
    counts = wins.reshape(len(wins), -1)
    votes = counts.sum(1)
    shares = counts / votes[:, None]
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(wins), size=(resamples, len(wins)))
    sums = np.stack([rng.multinomial(votes[voters], shares[voters]).sum(0) for voters in drawn])
    return np.percentile(strengths(sums.reshape(-1, *wins.shape[1:])), [2.5, 97.5], axis=0)
