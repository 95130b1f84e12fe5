"""What is kept of a run in the repository, to make tables and figures again without it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vsr_lightning.reporting.curves import read_curves
from vsr_lightning.reporting.results import Result
from vsr_lightning.reporting.statistics import by_unit
from vsr_lightning.runs.checkpoint import AtomicCheckpointIO
from vsr_lightning.runs.frames import FRAMES_FILE, units, write_frames
from vsr_lightning.runs.load_checkpoint import LAST, PREVIOUS, load_checkpoint
from vsr_lightning.runs.read_record import RUN_FILE, read_record
from vsr_lightning.runs.record import in_checkpoint
from vsr_lightning.utils.files import write_text


def keep(result: Result, folder: Path, scores_of_videos: bool = True) -> None:
    """Write a run's ``run.json`` with the curve of its validation, and its scores as one mean per test video.

    Left out is what says nothing of it: the paths of its machine, losses with the weight 0, callbacks and loggers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _, psnr = read_curves(result.path, ("val/psnr",)).get("val/psnr", ([], []))
    record = {**_pruned(result.record), "validation_psnr": [round(value, 4) for value in psnr]}
    text, config = json.dumps(record, indent=1) + "\n", result.record["config"]
    for place, name in ((config["output_dir"], folder.name), (config["data"].get("root"), "ROOT")):
        text = text.replace(str(place), name) if place and Path(place).is_absolute() else text
    write_text(folder / RUN_FILE, text)
    if not scores_of_videos:
        return
    columns = {name: by_unit(result, name) for name in result.frames if name not in ("video", "frame")}
    video, frame = result.frames["video"], result.frames["frame"]
    _, first = np.unique(units(video, frame), return_index=True)
    columns = {"video": video[first], "frame": frame[first], **columns}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    write_frames(folder / FRAMES_FILE, rows)


def keep_weights(run: Path, folder: Path) -> None:
    """Write the weights of a run whose record is kept in ``folder`` already: enough to start from, not to resume."""
    checkpoint = load_checkpoint(str(run / "checkpoints" / LAST))
    kept = {key: checkpoint[key] for key in ("epoch", "global_step", "state_dict")}
    kept["provenance"] = in_checkpoint(read_record(folder))
    AtomicCheckpointIO().save_checkpoint(kept, folder / "checkpoints" / LAST)
    (folder / "checkpoints" / PREVIOUS).unlink(missing_ok=True)


def _pruned(record: dict[str, Any]) -> dict[str, Any]:
    config = {key: value for key, value in record["config"].items() if key not in ("callbacks", "logger")}
    if terms := config["loss"].get("terms"):
        weighted = {name: weight for name, weight in terms.items() if weight}
        losses = {name: keys for name, keys in config["loss"]["losses"].items() if name in weighted}
        config["loss"] = {**config["loss"], "terms": weighted, "losses": losses}
    return {**{key: value for key, value in record.items() if key != "training"}, "config": config}
