"""What TensorBoard shows beside the curves: pictures, a clip, a sweep's curves in one chart, and the HPARAMS tab."""

import re
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from vsr_lightning.degradation import Batch
from vsr_lightning.images import gif, grid, side_by_side, strip
from vsr_lightning.metrics import METRICS, Metric


class TensorBoardImages(pl.Callback):
    """Write pictures of the same test windows after each epoch, and the run's hyperparameters and scores at its end.

    Nothing happens without a TensorBoard logger.

    Args:
        videos: how many test videos the picture shows.
    """

    def __init__(self, videos: int = 4) -> None:
        self.videos = videos
        self.batch: Batch | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for writer in _writers(trainer):
            writer.add_custom_scalars(layout(_loss(pl_module), _metrics(pl_module)))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._draw(trainer, {f"{_loss(pl_module)} loss/training": "train/loss"})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        scores = {f"validation/{metric.title}": f"val/{name}" for name, metric in _metrics(pl_module).items()}
        self._draw(trainer, {f"{_loss(pl_module)} loss/validation": "val/loss"} | scores)
        self._show(trainer, pl_module, trainer.current_epoch + 1)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == 0:  # nothing was trained, so nothing was shown yet
            self._show(trainer, pl_module, 0)
        if provenance := getattr(pl_module, "provenance", None):
            chosen = hyperparameters(provenance, trainer.current_epoch if trainer.global_step else 0)
            compared = {f"test/{name}" for name in _metrics(pl_module, test=True)}
            scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name in compared}
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.log_hyperparams(chosen, scores, step=trainer.global_step)

    def _draw(self, trainer: pl.Trainer, tags: dict[str, str]) -> None:
        """Add a point to curves that count epochs, as the pictures do; Lightning's own count steps."""
        for writer in _writers(trainer):
            for tag, name in tags.items():
                if (value := trainer.callback_metrics.get(name)) is not None:
                    writer.add_scalar(tag, value, trainer.current_epoch + 1)

    def _show(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epochs: int) -> None:
        if not (writers := _writers(trainer)):
            return
        if self.batch is None:
            self.batch = trainer.datamodule.test_windows(self.videos)  # type: ignore[attr-defined]
        batch = Batch(*(part.to(pl_module.device) for part in self.batch))
        with torch.no_grad():
            prediction = pl_module(batch.given_to(pl_module.model))
            columns = side_by_side(batch.select_targets(batch.low_res), *batch.align(prediction))
        columns["error"] = (columns["prediction"] - columns["truth"]).abs()
        middle, first = batch.middle_frames(), batch.video.flatten() == batch.video.flatten()[0]
        picture = grid({kind: images[middle] for kind, images in columns.items()})
        clip = Summary.Image(encoded_image_string=gif(strip({kind: images[first] for kind, images in columns.items()})))
        value = Summary.Value(tag=f"clip/{', '.join(columns)}", image=clip)  # add_video would need moviepy
        for writer in writers:
            writer.add_image(f"test videos/{', '.join(columns)}", picture, epochs)
            file: Any = writer.file_writer  # open, since the picture was written
            file.add_summary(Summary(value=[value]), epochs)


def layout(loss: str, metrics: Mapping[str, Metric]) -> dict[str, dict[str, list[Any]]]:
    """Return charts over all runs of a sweep, in epochs; TensorBoard merges those of runs with other losses.

    A loss has a chart of its own, training and validation in it: the scales of two losses have nothing in common.
    """
    tags = {f"{metric.title}, validation": re.escape(f"validation/{metric.title}") for metric in metrics.values()}
    return {
        "Losses of the sweep": {loss: ["Multiline", [f"{re.escape(loss)} loss/.*"]]},
        "Scores of the sweep": {title: ["Multiline", [f"{tag}$"]] for title, tag in tags.items()},
    }


def hyperparameters(provenance: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Return what the HPARAMS tab compares runs by, as plain values.

    The tab shows the first five names of the alphabet until asked for more: epochs, loss, lr, model and seed.
    What ``provenance`` does not know is left out; without trained epochs, so are the rate and the batch size.
    """
    data, features, config = (provenance.get(key) or {} for key in ("data", "features", "config"))
    chosen = {key: provenance.get(key) for key in ("model", "loss", "seed")}
    chosen |= {"videos": data.get("name"), "vgg_features": features.get("name")}
    if epochs:
        rate = (config.get("optimizer") or {}).get("lr")
        chosen |= {"epochs": epochs, "lr": rate, "train_batch_size": data.get("batch_size")}
    return {name: value for name, value in chosen.items() if value is not None}


def _metrics(module: pl.LightningModule, test: bool = False) -> dict[str, Metric]:
    """Return the metrics to compare runs by, in the test or already in the validation."""
    known: Mapping[str, Metric] = getattr(module, "metrics", METRICS)
    return {name: metric for name, metric in known.items() if metric.compared and (test or not metric.test_only)}


def _loss(module: pl.LightningModule) -> str:
    return str((getattr(module, "provenance", None) or {}).get("loss") or "the")


def _writers(trainer: pl.Trainer) -> list[SummaryWriter]:
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return [logger.experiment for logger in loggers] if trainer.is_global_zero else []
