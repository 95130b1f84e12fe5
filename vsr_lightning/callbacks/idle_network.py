"""Warn of a network whose layers add nothing."""

import logging
from typing import Any

import lightning.pytorch as pl
import torch

from vsr_lightning.degradation import Batch

log = logging.getLogger(__name__)
LEVELS = 2  # of 255, up to which a difference counts as none


class WarnOfIdleNetwork(pl.Callback):
    """After the first epoch, warn if the network gives what its skip connection gives, such as bicubic upsampling.

    Its units may all have died, or its steps have been too few or too small; nothing else in the scores would say so.
    """

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if trainer.current_epoch or not trainer.is_last_batch or not trainer.is_global_zero:
            return
        network: Any = pl_module.model
        adds_to = getattr(network, "skip", None)  # of a network that is a Network
        if adds_to is None or (skip := adds_to(batch.low_res)) is None:
            return
        network.eval()
        with torch.no_grad():
            change = (pl_module(batch.low_res) - skip).abs().max()
        network.train()
        if change < LEVELS / 255:
            found = f"no pixel differs by {LEVELS} of 255 levels from what its layers add to"
            advice = "if it stays so, set optimizer.lr to a quarter; if the steps were few, train longer"
            log.warning("the network has learned nothing after %d steps: %s: %s", trainer.global_step, found, advice)
