"""The curves of a run, read from its TensorBoard files, or from its CSV table."""

import csv
import logging
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it reports each file that it has read
Curve = tuple[list[int], list[float]]  # epochs from 1, values


def read_curves(run: Path, tags: tuple[str, ...]) -> dict[str, Curve]:
    """Return the per-epoch curves of a run, finished or not; without the files of either logger none."""
    curves: dict[str, Curve] = {}
    for folder in sorted({file.parent for file in run.glob("tensorboard/**/events.out.tfevents.*")}):
        events = EventAccumulator(str(folder), {"scalars": 0, "images": 1, "tensors": 1}).Reload()
        known = events.Tags()["scalars"]
        if "epoch" not in known:
            continue
        epochs = {event.step: round(event.value) + 1 for event in events.Scalars("epoch")}
        for tag in set(tags) & set(known):
            points = [(epochs[event.step], event.value) for event in events.Scalars(tag) if event.step in epochs]
            curves[tag] = ([epoch for epoch, _ in points], [value for _, value in points])
    table = run / "csv" / "metrics.csv"
    return curves if curves or not table.exists() else _of_table(table, tags)


def _of_table(path: Path, tags: tuple[str, ...]) -> dict[str, Curve]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["epoch"]]
    points = {tag: [(round(float(row["epoch"])) + 1, float(row[tag])) for row in rows if row.get(tag)] for tag in tags}
    return {
        tag: ([epoch for epoch, _ in found], [value for _, value in found]) for tag, found in points.items() if found
    }
