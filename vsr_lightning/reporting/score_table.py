"""The score table of a sweep: one row per run, with what each was made from."""

from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

from vsr_lightning.metrics import METRICS, Metric, scored_metrics
from vsr_lightning.reporting.notes import comparison_notes, data_notes, metric_notes
from vsr_lightning.runs.comparable import comparable_runs
from vsr_lightning.runs.read_record import read_runs
from vsr_lightning.utils.files import write_text
from vsr_lightning.utils.formatting import Rows, aligned, csv_text, duration, markdown, with_spread

Run = tuple[Path, dict[str, Any]]
PRINTED = {name: METRICS[name].title.removesuffix(" (dB)") for name in ("psnr", "ssim", "haarpsi")}
HELD_OUT = ", held out"
NAMED = ("model=", "loss=")  # these overrides have columns of their own


def write_table(folder: Path, runs: Sequence[Run] | None = None) -> str:
    """Write ``scores.csv`` and ``scores.md`` of the runs, or of all below ``folder``; return what fits a terminal."""
    runs = read_runs(folder) if runs is None else runs
    named = [(path.name, run) for path, run in runs]
    rows = score_rows(runs)
    in_csv_only = {metric.title for metric in scored_metrics(run for _, run in runs).values() if metric.shown == "csv"}
    shown = [
        {title: cell for title, cell in row.items() if title.removesuffix(HELD_OUT) not in in_csv_only} for row in rows
    ]
    notes = [*data_notes(named), *metric_notes(named), *comparison_notes(named)]
    write_text(folder / "scores.csv", csv_text(rows))
    write_text(folder / "scores.md", "\n".join([markdown(shown), "", *notes, ""]))
    return "\n".join([aligned(_printed(rows, runs)), "", *data_notes(named), *comparison_notes(named)])


def score_rows(runs: Sequence[Run]) -> Rows:
    """Return one row per run: ``swept`` are overrides that differ, a common letter in ``compare`` means comparable."""
    trained = [set(run["overrides"]) for _, run in runs if run.get("overrides")]
    common = set.intersection(*trained) if trained else set()
    groups = comparable_runs([run for _, run in runs])
    metrics = scored_metrics(run for _, run in runs)
    chosen_by = scored_metrics({**run, "scores": _held_out(run)} for _, run in runs)
    return [
        {
            "run": path.name,
            "model": run["model"],
            "loss": run["loss"],
            "swept": " ".join(it for it in run.get("overrides", ()) if it not in common and not it.startswith(NAMED)),
            **_cells(run.get("scores") or {}, metrics),
            **{f"{title}{HELD_OUT}": cell for title, cell in _cells(_held_out(run), chosen_by).items()},
            "epochs": str(run.get("epochs", "")),
            "wall time (s)": f"{run.get('wall_time_s', 0):.1f}",
            "data": (run.get("data") or {}).get("name", ""),
            "features": (run.get("features") or {}).get("name", ""),
            "compare": " ".join(group.letter for group in groups if place in group.places),
            "status": run["status"],
        }
        for place, (path, run) in enumerate(runs)
    ]


def _cells(scores: dict[str, float], metrics: dict[str, Metric]) -> dict[str, str]:
    return {it.title: format(scores[name], it.form) if name in scores else "" for name, it in metrics.items()}


def _held_out(run: dict[str, Any]) -> dict[str, float]:
    """Return the scores of the last validation where it was on held-out videos, for those who choose a rate by them."""
    config = run.get("config") or {}
    return run.get("validation", {}) if (config.get("data") or {}).get("val_videos") else {}


def _printed(rows: Rows, runs: Sequence[Run]) -> Rows:
    validated = [_held_out(run) for _, run in runs]
    chosen_by = {name: title for name, title in PRINTED.items() if any(name in scores for scores in validated)}
    return [
        {
            "run": row["run"],
            **{title: with_spread(run.get("scores", {}).get(name, nan), nan) for name, title in PRINTED.items()},
            **{f"{title}{HELD_OUT}": with_spread(scores.get(name, nan), nan) for name, title in chosen_by.items()},
            "epochs": row["epochs"],
            "time": duration(run.get("wall_time_s", 0)),
            "status": row["status"],
            "swept": " ".join(item for item in row["swept"].split(" ") if not item.startswith("seed=")),
        }
        for row, (_, run), scores in zip(rows, runs, validated, strict=True)
    ]
