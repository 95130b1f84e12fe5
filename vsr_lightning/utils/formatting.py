"""Numbers and tables as text."""

import math
from collections.abc import Sequence

import numpy as np


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """Return rows as an aligned markdown table; a key that a row lacks is an empty cell."""
    if not rows:
        return "No runs."
    titles = list(dict.fromkeys(title for row in rows for title in row))
    lines = [titles, *([_in_a_cell(row.get(title, "")) for title in titles] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _in_a_cell(text: str) -> str:
    return " ".join(text.split("\n")).replace("|", "\\|")


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
