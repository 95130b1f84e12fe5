"""The tables of docs/findings.md, and what is kept of a run to make them again."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vsr_lightning.reporting.figures import perception_distortion_figure, perceptual_metric
from vsr_lightning.reporting.results import Condition, Group, Result
from vsr_lightning.reporting.statistics import by_unit, difference_cell, paired_difference, score_cells
from vsr_lightning.runs.frames import FRAMES_FILE, units, write_frames
from vsr_lightning.runs.record import RUN_FILE
from vsr_lightning.utils.files import write_text
from vsr_lightning.utils.formatting import Rows, duration, markdown

BASELINE_LOSS = "mse"


def keep(result: Result, folder: Path) -> None:
    """Copy a run's ``run.json``, without the paths of its machine, and its scores as one mean per test video."""
    own = folder / result.path.parent.name / result.path.name
    own.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result.record, indent=2) + "\n"
    write_text(own / RUN_FILE, text.replace(str(result.record["config"]["output_dir"]), own.name))
    columns = {name: by_unit(result, name) for name in result.frames if name not in ("video", "frame")}
    video, frame = result.frames["video"], result.frames["frame"]
    _, first = np.unique(units(video, frame), return_index=True)
    columns = {"video": video[first], "frame": frame[first], **columns}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    write_frames(own / FRAMES_FILE, rows)


def tables(groups: Sequence[Group]) -> dict[str, str]:
    """Return each table as markdown.

    Of the runs from scratch, those of the largest group have their scores and differences, the others one row
    per run; fine-tuned networks have scores and differences of their own.
    """
    main = largest(groups)
    from_weights = [group for group in groups if fine_tuned(group)]
    others = [group for group in groups if group is not main and group not in from_weights]
    return {
        "scores": markdown(_scores(main)),
        "differences": markdown(_differences(main)),
        "provenance": markdown([_provenance(condition) for condition in _trained(main)]),
        "fine_tuned_scores": markdown([row for group in from_weights for row in _scores(group)]),
        "fine_tuned_differences": markdown([row for group in from_weights for row in _differences(group)]),
        "longer_runs": markdown([_longer(run, group) for group in others for run in group.results if run.trained]),
    }


def largest(groups: Sequence[Group]) -> Group:
    """Return the group with the most conditions among those that were trained from scratch."""
    return max((group for group in groups if not fine_tuned(group)), key=lambda group: len(group.conditions))


def perception_distortion_figures(groups: Sequence[Group]) -> dict[str, Figure]:
    """Return the perception-distortion planes of the largest group and of the fine-tuned networks."""
    of = {"perception_distortion": largest(groups)}
    if from_weights := next(filter(fine_tuned, groups), None):
        close = tuple(result for result in from_weights.results if result.trained)  # bicubic is far from these
        of["fine_tuned_perception_distortion"] = replace(from_weights, results=close)
    for name, group in of.items():
        results = tuple(result for condition in _ordered(group) for result in condition.results)
        of[name] = replace(group, results=results)
    return {name: perception_distortion_figure(it, perceptual_metric(it.conditions)) for name, it in of.items()}


def _ordered(group: Group) -> list[Condition]:
    """Return conditions by network, each with MSE first; the baseline comes last."""

    def place(condition: Condition) -> tuple[bool, str, bool, str]:
        first = condition.results[0]
        return not first.trained, first.record["model"], first.record["loss"] != BASELINE_LOSS, condition.label

    return sorted(group.conditions, key=place)


def _trained(group: Group) -> list[Condition]:
    return [condition for condition in _ordered(group) if condition.results[0].trained]


def fine_tuned(group: Group) -> bool:
    """Return whether any of its runs started from another's weights."""
    return any(result.record.get("init_from") for result in group.results)


def _scores(group: Group) -> Rows:
    return [
        {"network and loss": condition.label, "n": str(len(condition.scores("psnr")))}
        | score_cells(condition, group.compared_metrics)
        for condition in _ordered(group)
    ]


def _differences(group: Group) -> Rows:
    """Return a row for each other loss than MSE and each network: mean and interval of the difference to MSE."""
    rows, metrics = [], group.compared_metrics.items()
    for base, other in product(_trained(group), repeat=2):
        one, two = base.results[0].record, other.results[0].record
        if one["model"] == two["model"] and one["loss"] == BASELINE_LOSS != two["loss"]:
            cells = {it.title: difference_cell(paired_difference(base, other, name)) for name, it in metrics}
            rows.append({"difference": f"{other.label} minus {BASELINE_LOSS}"} | cells)
    return rows


def _provenance(condition: Condition) -> dict[str, str]:
    first = condition.results[0].record
    return {
        "network and loss": condition.label,
        "windows or clips trained on": _seen(first),
        "learning rate": str(first["config"]["optimizer"]["lr"]),
        "precision": first["precision"],
        "test videos": str(first["data"]["test_videos"]),
    }


def _longer(result: Result, group: Group) -> dict[str, str]:
    record = result.record
    return {
        "run": result.path.name,
        "network and loss": f"{record['model']} {record['loss']}",
        "trained on": _seen(record),
        "test videos": str(record["data"]["test_videos"]),
        **score_cells(Condition("", (result,)), group.compared_metrics),
        "time, with its test": duration(record["wall_time_s"]),
        "device": record["device"],
    }


def _seen(record: dict[str, Any]) -> str:
    """Return how much a run was trained on, in words."""
    data, limit = record["data"], record["config"]["trainer"]["limit_train_batches"]
    size = data["batch_size"]
    batches = -(-data["train_videos"] // size)
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    return f"{record['epochs'] * batches * size:,} {data['takes']}s of {data['frames']} in steps of {size}"
