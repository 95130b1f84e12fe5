"""What happens around the epochs: a plain line in the log, and a stop when the loss is lost."""

import logging
import sys
import time
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import RichProgressBar
from torch import Tensor

from vsr_lightning.last_checkpoint import LastCheckpoint

log = logging.getLogger(__name__)
NAN_CHECK_EVERY = 50  # steps: looking at a number on the GPU makes the CPU wait for it


class ProgressBar(RichProgressBar):
    """Lightning's bar without ``v_num``, which cuts our version names to four letters."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class EpochLine(pl.Callback):
    """Log one plain line an epoch: the scores, the time it took, and about how long the rest will take.

    The means over the training go to the loggers here too: Lightning would do it after the checkpoint, and a run
    resumed from that would lack them.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begin, self.first_epoch = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        done = trainer.current_epoch + 1
        seconds = (time.monotonic() - self.begin) / (done - self.first_epoch)
        metrics = trainer.callback_metrics
        shown = {name: value for name, value in metrics.items() if "_eq" not in name}
        scores = "  ".join(f"{name} {value:.4g}" for name, value in sorted(shown.items()))
        total = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else done
        left = f"about {duration(seconds * (total - done))} left" if done < total else "next the test"
        training = {name: float(value) for name, value in metrics.items() if name.startswith("train/")}
        for logger in trainer.loggers if training else ():
            logger.log_metrics(training | {"epoch": trainer.current_epoch}, step=trainer.global_step - 1)
        log.info("epoch %d/%d  %s  (%s an epoch, %s)", done, total, scores, duration(seconds), left)


class StopOnNaN(pl.Callback):
    """Stop before a loss that is not finite reaches a checkpoint.

    Raises:
        FloatingPointError: the loss was NaN or infinite in one of the last steps.
    """

    def __init__(self) -> None:
        self.finite: Tensor | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.finite = None

    def on_train_batch_end(  # type: ignore[override]  # Lightning's hint leaves out the dictionary it passes
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: dict[str, Tensor],
        batch: object,
        batch_idx: int,
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

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if self.finite is not None and not self.finite:
            saved = (callback.path for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint))
            last = next((path for path in saved if path.exists()), None)
            raise FloatingPointError(
                f"the loss became NaN or infinite in epoch {trainer.current_epoch + 1}, at or before step "
                f"{trainer.global_step}: lower optimizer.lr (last good checkpoint: {last or 'none yet'})"
            )


class ConsoleHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever ``sys.stdout`` is at the moment: the progress bar redirects it to print above itself."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[no-untyped-def,override]
        return sys.stdout


def duration(seconds: float) -> str:
    """Return seconds as a short text: ``8.3 s``, ``4 min 10 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
