"""The exponential moving average of a training's weights, which is what the run is scored by and leaves."""

import logging

import lightning.pytorch as pl
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

log = logging.getLogger(__name__)


class AverageWeights(WeightAveraging):
    """Keep a moving average of all weights; validation, test and every checkpoint's ``state_dict`` have it.

    After n steps the decay is (1 + n) / (10 + n) at most, as in TensorFlow's ``ExponentialMovingAverage``: a constant
    one would leave the first steps' weights in the average of a short training, as in Lightning's own
    ``EMAWeightAveraging``. The weights that the training goes on with are in a checkpoint's ``current_model_state``.

    Args:
        decay: share of the average that is kept at each step, at least 0 and less than 1 (or ValueError).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"callbacks.average_weights.decay={decay}: choose at least 0 and less than 1")

        def average(averaged: Tensor, current: Tensor, steps: Tensor) -> Tensor:
            kept = ((1 + steps) / (10 + steps)).clamp(max=decay)
            return averaged + (1 - kept) * (current - averaged)

        super().__init__(use_buffers=False, avg_fn=average)
        self.decay = decay

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the average to the device: Lightning makes it before the network is there."""
        assert self._average_model is not None
        self._average_model.to(pl_module.device)
        log.info("averaged weights (decay %g) are validated, tested and kept in the checkpoints", self.decay)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in place for those that show what was scored, until :meth:`on_validation_end`."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the training's own weights back; checkpoints are saved after this."""
        super().on_validation_epoch_end(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the average also where a run that was resumed had nothing left to train."""
        self._copy_average_to_current(pl_module)
