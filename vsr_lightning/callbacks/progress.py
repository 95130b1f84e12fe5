"""The progress of a training on the console: Lightning's bar, and one plain line per epoch in the log."""

import logging
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

from vsr_lightning.utils.formatting import duration

log = logging.getLogger(__name__)
QUIET = 60.0  # seconds of a test between two lines


class ProgressBar(RichProgressBar):
    """Lightning's bar, which counts epochs from 1 here, and leaves out ``v_num``, a version cut to four letters."""

    def refresh(self, hard: bool = False) -> None:
        if self.trainer.training and self.progress and self.train_progress_bar_id is not None:
            epoch, epochs = self.trainer.current_epoch + 1, self.trainer.max_epochs or 0
            self.train_progress_bar.description = f"Epoch {epoch}/{epochs}" if epochs > 0 else f"Epoch {epoch}"
        super().refresh(hard)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


class EpochSummary(pl.Callback):
    """Log plain lines: one per epoch, of the means and the time that it took, and one per minute of a long test.

    Both say about how long the rest will take.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begin, self.first_epoch = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        done = trainer.current_epoch + 1
        seconds = (time.monotonic() - self.begin) / (done - self.first_epoch)
        shown = {name: value for name, value in trainer.callback_metrics.items() if "_eq" not in name}
        scores = "  ".join(f"{name} {value:.4g}" for name, value in sorted(shown.items()))
        total = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else done
        left = f"about {duration(seconds * (total - done))} left" if done < total else "next the test"
        log.info("epoch %d/%d  %s  (%s per epoch, %s)", done, total, scores, duration(seconds), left)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begin = self.said = time.monotonic()

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        now, done, total = time.monotonic(), batch_idx + 1, int(trainer.num_test_batches[dataloader_idx])
        if now - self.said > QUIET and done < total:
            self.said = now
            left = duration((now - self.begin) * (total - done) / done)
            log.info("tested %d of %d batches, about %s left", done, total, left)
