"""Numbers and tables as text."""

import math
from collections.abc import Sequence

import numpy as np


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """Return rows as an aligned markdown table."""
    if not rows:
        return "No runs."
    columns = {title: max(len(title), *(len(row[title]) for row in rows)) for title in rows[0]}
    lines = [dict(zip(columns, columns, strict=True)), {title: "-" * width for title, width in columns.items()}, *rows]
    return "\n".join(
        "| " + " | ".join(line[title].ljust(width) for title, width in columns.items()) + " |" for line in lines
    )


def duration(seconds: float) -> str:
    """Return seconds as a short text: ``8.3 s``, ``4 min 10 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def with_interval(mean: float, low: float, high: float) -> str:
    """Return ``mean (low to high)`` with as many digits as are needed to keep the ends of the interval apart."""
    digits = min(max(1 - math.floor(math.log10(high - low)), 0), 7) if high > low else 4
    shown, *ends = (f"{value:+.{digits}f}" for value in (mean, low, high))
    return f"{shown} ({ends[0]} to {ends[1]})"


def with_spread(mean: float, sd: float) -> str:
    """Return ``mean ± sd`` with as many digits as tell something, and as show a digit of the spread."""
    if np.isnan(mean):
        return "-"
    digits = 2 if abs(mean) >= 10 else 3 if abs(mean) >= 0.01 else 6
    if sd > 0:
        digits = min(max(digits, -math.floor(math.log10(sd))), 7)
    return f"{mean:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")
