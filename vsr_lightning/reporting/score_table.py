"""The score table of a sweep: a row a run, with what each was made from."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vsr_lightning.metrics import scored_metrics
from vsr_lightning.reporting.notes import data_notes, metric_notes
from vsr_lightning.runs.comparable import comparable_runs
from vsr_lightning.runs.record import read_runs
from vsr_lightning.utils.files import write_text
from vsr_lightning.utils.formatting import markdown

Run = tuple[Path, dict[str, Any]]


def write_table(folder: Path) -> str:
    """Write ``scores.csv`` and ``scores.md`` of all runs below ``folder``; return the markdown."""
    runs = read_runs(folder)
    rows = score_rows(runs)
    text = "\n".join([markdown(rows), "", *notes(runs), ""])
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "scores.csv", buffer.getvalue())
    write_text(folder / "scores.md", text)
    return text


def score_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a run: ``swept`` holds the overrides in which it differs, ``compare`` a letter a test set."""
    trained = [set(run["overrides"]) for _, run in runs if run.get("overrides")]
    common = set.intersection(*trained) if trained else set()
    groups = comparable_runs([run for _, run in runs])
    metrics = scored_metrics(run for _, run in runs)
    return [
        {
            "run": path.name,
            "model": run["model"],
            "loss": run["loss"],
            "swept": " ".join(item for item in run.get("overrides", ()) if item not in common and not _named(item)),
            **{metric.title: _score(run, name, metric.form) for name, metric in metrics.items()},
            "epochs": str(run.get("epochs", "")),
            "wall time (s)": f"{run.get('wall_time_s', 0):.1f}",
            "data": (run.get("data") or {}).get("name", ""),
            "features": (run.get("features") or {}).get("name", ""),
            "compare": " ".join(group.letter for group in groups if place in group.places),
            "status": run["status"],
        }
        for place, (path, run) in enumerate(runs)
    ]


def notes(runs: Sequence[Run]) -> list[str]:
    """Return what a reader of the table must know: stand-ins, and which rows are not to be compared."""
    rows = [(path.name, run) for path, run in runs]
    lines = data_notes(rows) + metric_notes(rows)
    if others := comparable_runs([run for _, run in runs])[1:]:
        lines.append("**Do not compare rows without a common letter.**")
        lines += [f"{group.letter} is apart from A because of: {group.reason}." for group in others]
    if len({run["features"]["checksum"] for _, run in runs if run.get("features")}) > 1:
        lines.append("**The perceptual rows were trained on different features: see the column.**")
    lines += [
        f"{path.name} started from weights trained on {start['loss']}, {start['epochs']} epochs: {start['path']}."
        for path, run in runs
        if (start := run.get("init_from"))
    ]
    unfinished = [(path, run) for path, run in runs if run["status"] != "finished"]
    lines += [f"{path.name} is {run['status']}: {run.get('error', 'no scores yet')}" for path, run in unfinished]
    return lines


def _named(override: str) -> bool:
    return override.startswith(("model=", "loss="))  # columns of their own


def _score(run: dict[str, Any], name: str, form: str) -> str:
    value = run.get("scores", {}).get(name)
    return "" if value is None else format(value, form)
