"""Records of runs and evaluations, read: without Lightning, whose import takes seconds."""

import json
import sys
from pathlib import Path
from typing import Any

from vsr_lightning.runs.migrate import upgrade_record

RUN_FILE = "run.json"
METRICS_FILE = "metrics.json"  # of an evaluation


def read_record(folder: Path) -> dict[str, Any]:
    """Return a run's ``run.json`` under today's names; FileNotFoundError if there is none."""
    return upgrade_record(json.loads((folder / RUN_FILE).read_text(encoding="utf-8")))


def training_part(record: dict[str, Any]) -> dict[str, Any]:
    """Return of a run's record what stays the same whatever it is scored on, for the record of an evaluation."""
    of_the_test = ("scores", "validation", "tested_frames", "status", "error", "format")
    return {key: value for key, value in record.items() if key not in of_the_test}


def read_evaluation(folder: Path) -> dict[str, Any]:
    """Return an evaluation's record as that of a run that was tested so: trained as then, scored as now."""
    found = upgrade_record(json.loads((folder / METRICS_FILE).read_text(encoding="utf-8")))
    if not (training := found.get("training")):
        return found
    config = {**training["config"], **{part: found["config"][part] for part in ("data", "module")}}
    now = ("format", "status", "error", "scores", "tested_frames", "scoring", "metric_features", "epochs", "run")
    data = {**found["data"], "train_videos": training["data"]["train_videos"]} if "data" in found else {}
    return {**training, **{key: found[key] for key in now if key in found}, "config": config, "data": data}


def read_runs(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return each folder and record of a run, or of an evaluation, below ``folder``, in the folders' order."""

    def number(path: Path) -> tuple[int, str]:
        first = path.name.split("_")[0]
        return (int(first) if first.isdigit() else sys.maxsize, str(path))

    runs = [(path.parent, read_record) for path in folder.rglob(RUN_FILE)]
    runs += [(path.parent, read_evaluation) for path in folder.rglob(METRICS_FILE)]
    found = [(path, read(path)) for path, read in sorted(runs, key=lambda run: number(run[0]))]
    # an older evaluation does not say how its run was trained
    return [(path, record) for path, record in found if "checkpoint" not in record]
