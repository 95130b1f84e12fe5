"""The scores of each test frame in a file, which paired comparisons need and means hide."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from vsr_lightning.runs.frames import Rows, write_frames


class FrameScores(pl.Callback):
    """Write ``frames.csv`` after a test: one row per frame with its video, its index there, and its scores.

    The module's ``test_step`` returns them for each batch, as (N,) tensors by name.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.batches: list[dict[str, Tensor]] = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.batches.append({name: values.cpu() for name, values in outputs.items()})

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        names = list(self.batches[0])
        columns = [torch.cat([batch[name] for batch in self.batches]).tolist() for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        rows = gather([row for row in rows if row["video"] >= 0], trainer)
        if trainer.is_global_zero:
            write_frames(self.path, rows)


def gather(rows: Rows, trainer: pl.Trainer) -> Rows:
    """Return the rows of all processes in the order of one."""
    if trainer.world_size > 1:
        parts: list[Rows] = [[] for _ in range(trainer.world_size)]
        torch.distributed.all_gather_object(parts, rows)
        rows = [row for part in parts for row in part]
    return sorted(rows, key=lambda row: (row["video"], row["frame"]))
