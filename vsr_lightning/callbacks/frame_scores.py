"""The scores of each test frame in a file, which paired comparisons need and means hide."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from vsr_lightning.runs.frames import ScoreRows, write_frames


class FrameScores(pl.Callback):
    """Write ``frames.csv`` to ``path`` after a test: one row per frame with its video, its index there, and its scores.

    The module's ``test_step`` returns them for each batch, as (N,) tensors by name; those that need more than a batch
    are its ``late_scores`` when the test has ended.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.rows: ScoreRows = []

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        columns = [values.tolist() for values in outputs.values()]
        self.rows += [dict(zip(outputs, values, strict=True)) for values in zip(*columns, strict=True)]

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rows = [row for row in self.rows if row["video"] >= 0]
        for name, of_frames in getattr(pl_module, "late_scores", {}).items():
            for row in rows:
                row[name] = of_frames[int(row["video"]), int(row["frame"])]
        parts: list[ScoreRows] = [rows] * trainer.world_size
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(parts, parts[0])
        if trainer.is_global_zero:
            rows = [row for part in parts for row in part]
            write_frames(self.path, sorted(rows, key=lambda row: (row["video"], row["frame"])))
