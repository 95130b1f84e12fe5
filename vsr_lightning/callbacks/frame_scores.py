"""Each test frame's scores, kept as a file: what means hide, and what paired comparisons need."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from vsr_lightning.runs.frames import Rows, write_frames


class FrameScores(pl.Callback):
    """Write ``frames.csv`` after a test: a row a frame with its video, its number there, and its scores.

    Which frame a row is of comes from the loader's own plan (:func:`vsr_lightning.data.loader.plan_loader`).

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.scores: list[dict[str, Tensor]] = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.scores.append({name: score.float().cpu() for name, score in outputs.items()})

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        sampler = trainer.test_dataloaders.sampler  # type: ignore[union-attr]
        plan = [trainer.datamodule.frames_of(part) for part, _ in zip(sampler, self.scores, strict=False)]  # type: ignore[attr-defined]
        video, frame = (np.concatenate(column) for column in zip(*plan, strict=True))
        scores = {name: torch.cat([part[name] for part in self.scores]).tolist() for name in self.scores[0]}
        rows = [
            {"video": int(v), "frame": int(f), **dict(zip(scores, values, strict=True))}
            for v, f, *values in zip(video, frame, *scores.values(), strict=True)
        ]
        rows = gather(rows, trainer)
        if trainer.is_global_zero:
            write_frames(self.path, rows)


def gather(rows: Rows, trainer: pl.Trainer) -> Rows:
    """Return the rows of all processes in the order of one."""
    if trainer.world_size > 1:
        parts: list[Rows] = [[] for _ in range(trainer.world_size)]
        torch.distributed.all_gather_object(parts, rows)
        rows = [row for part in parts for row in part]
    return sorted(rows, key=lambda row: (row["video"], row["frame"]))
