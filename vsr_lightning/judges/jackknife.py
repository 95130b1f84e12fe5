"""One number per video of a score that only a whole test set has."""

from collections.abc import Callable

import torch
from torch import Tensor

AT_ONCE = 2**24  # numbers of a batch of sums


def pseudo_values(sums: Tensor, counts: Tensor, statistic: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the jackknife's pseudo-values (Tukey 1958) of a statistic of a mean.

    Their mean is the statistic, its bias of first order removed (Quenouille 1956); their spread says how far another
    sample of units would move it. So they can be averaged, paired and resampled like the scores of single videos.

    Args:
        sums: (U, D), over each unit's members, of what the mean is of.
        counts: (U,), members of each unit.
        statistic: (n, D) means -> (n,).

    Returns:
        (U,) ``U * statistic(all) - (U - 1) * statistic(all but the unit)``.

    Raises:
        ValueError: a single unit, which can't be left out.
    """
    units = several(len(sums))
    total, members = sums.sum(0), counts.sum()
    whole = statistic((total / members)[None])
    some = max(1, AT_ONCE // sums.shape[1])
    left = [
        statistic((total - part) / (members - count)[:, None])
        for part, count in zip(sums.split(some), counts.split(some), strict=True)
    ]
    return units * whole - (units - 1) * torch.cat(left)


def several(units: int) -> int:
    """Return a number of units; ValueError where it is one, which can't be left out."""
    if units < 2:
        raise ValueError("one video makes no interval: test on several")
    return units
