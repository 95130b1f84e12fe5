"""What a benchmark prints: one ratio a row, its target, and whether it holds."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: what was compared.
        ratio: how many times as fast; where ``at_most``, how many times as much time or memory.
        ours, against: the two figures, with their units.
        target: the least ratio, or the most where ``at_most``; None states none.
        at_most: whether less is better.
    """

    what: str
    ratio: float
    ours: str
    against: str
    target: float | None = None
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """``pass``, ``SHORT``, or nothing where there is no target."""
        if self.target is None:
            return ""
        return "pass" if (self.ratio <= self.target if self.at_most else self.ratio >= self.target) else "SHORT"


def faster(what: str, ours: float, against: float, unit: str, name: str, target: float | None = None) -> Row:
    """Compare two rates, higher is better."""
    return Row(what, ours / against, f"{ours:.3g} {unit}", f"{against:.3g} {name}", target)


def slower(what: str, ours: float, against: float, name: str, target: float | None = None) -> Row:
    """Compare two times in seconds, lower is better."""
    return Row(what, ours / against, f"{1e3 * ours:.4g} ms", f"{1e3 * against:.4g} {name}", target, at_most=True)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as markdown, ratios first."""
    lines = ["| ratio | target | | what | ours | against |", "|---|---|---|---|---|---|"]
    for row in rows:
        target = "" if row.target is None else f"{'at most' if row.at_most else 'at least'} {row.target:g}"
        lines.append(f"| {row.ratio:.3g} | {target} | {row.verdict} | {row.what} | {row.ours} | {row.against} |")
    return "\n".join(lines)
