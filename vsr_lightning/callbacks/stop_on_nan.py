"""Stop a training whose loss is no longer finite."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from vsr_lightning.callbacks.last_checkpoint import LastCheckpoint

NAN_CHECK_EVERY = 50  # steps on a GPU: reading a value there makes the CPU wait for it


class StopOnNaN(pl.Callback):
    """Stop with a FloatingPointError before a loss that is not finite reaches a checkpoint."""

    finite: Tensor | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.finite = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        finite = torch.isfinite(outputs["loss"])
        self.finite = finite if self.finite is None else self.finite & finite
        if finite.device.type == "cpu" or batch_idx % NAN_CHECK_EVERY == 0:
            self._check(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._check(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check(trainer)

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if self.finite is not None and not self.finite:
            saved = (callback.path for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint))
            last = next((path for path in saved if path.exists()), None)
            when = f"in epoch {trainer.current_epoch + 1}, at or before step {trainer.global_step}"
            advice = f"lower optimizer.lr (last good checkpoint: {last or 'none yet'})"
            raise FloatingPointError(f"the loss became NaN or infinite {when}: {advice}")
