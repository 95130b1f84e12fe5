"""What happens around the epochs: a plain line in the log, and a stop when the loss is lost."""

import logging
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

from vsr_lightning.utils.formatting import duration

log = logging.getLogger(__name__)


class ProgressBar(RichProgressBar):
    """Lightning's bar without ``v_num``, which cuts our version names to four letters."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class EpochSummary(pl.Callback):
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
