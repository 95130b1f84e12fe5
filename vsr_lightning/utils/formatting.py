"""Numbers and tables as text."""

import csv
import io
import math
from itertools import chain

Rows = list[dict[str, str]]


def csv_text(rows: Rows) -> str:
    """Return rows as csv; a key that a row lacks is an empty cell."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(chain(*rows))), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def markdown(rows: Rows) -> str:
    """Return rows as an aligned markdown table; a key that a row lacks is an empty cell."""
    if not rows:
        return "No runs."
    escaped = [{title: " ".join(text.splitlines()).replace("|", "\\|") for title, text in row.items()} for row in rows]
    head, *lines = _padded(escaped)
    rule = ["-" * len(title) for title in head]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def aligned(rows: Rows) -> str:
    """Return rows as columns of plain text, two spaces apart."""
    return "\n".join("  ".join(cells).rstrip() for cells in _padded(rows)) or "No runs."


def _padded(rows: Rows) -> list[list[str]]:
    """Return the titles and each row as cells, those of a column equally wide."""
    titles = list(dict.fromkeys(chain(*rows)))
    lines = [titles, *([row.get(title, "") for title in titles] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]


def counted(number: int, noun: str) -> str:
    """Return ``1 epoch``, or ``2 epochs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
    """Return ``mean ± sd`` with as many digits as are significant, and at least one of the spread."""
    if math.isnan(mean):
        return "-"
    digits = 2 if abs(mean) >= 10 else 3 if abs(mean) >= 0.01 else 6
    if sd > 0:
        digits = min(max(digits, -math.floor(math.log10(sd))), 7)
    return f"{mean:.{digits}f}" + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")
