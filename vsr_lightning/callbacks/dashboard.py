"""What TensorBoard shows beside the curves: pictures, a clip, the losses of a sweep overlaid, and the HPARAMS tab."""

import re
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from vsr_lightning.degradation import Batch
from vsr_lightning.images import gif, grid, side_by_side, strip
from vsr_lightning.module import SuperResolution

STAGES = {"training": "train", "validation": "val"}


class TensorBoardImages(pl.Callback):
    """Write pictures of the same test windows after each epoch, and the run's choices and scores at its end.

    Nothing happens without a TensorBoard logger.

    Args:
        videos: how many test videos the picture shows.
    """

    def __init__(self, videos: int = 4) -> None:
        self.videos = videos
        self.batch: Batch | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for writer in _writers(trainer):
            writer.add_custom_scalars(layout(_loss(pl_module)))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for writer in _writers(trainer):
            for name, stage in STAGES.items():
                if (value := trainer.callback_metrics.get(f"{stage}/loss")) is not None:
                    writer.add_scalar(f"{_loss(pl_module)} loss/{name}", value, trainer.current_epoch + 1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show(trainer, pl_module, trainer.current_epoch + 1)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == 0:  # nothing was trained, so nothing was shown yet
            self._show(trainer, pl_module, 0)
        if isinstance(pl_module, SuperResolution) and pl_module.provenance:
            compared = [f"test/{name}" for name, metric in pl_module.metrics.items() if metric.compared]
            found = trainer.callback_metrics
            metrics = {name: float(found[name]) for name in compared if name in found}
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.log_hyperparams(choices(pl_module.provenance), metrics, step=trainer.global_step)

    def _show(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epochs: int) -> None:
        if not (writers := _writers(trainer)):
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        if self.batch is None:
            self.batch = data.test_windows(self.videos)
        batch = Batch(*(part.to(pl_module.device) for part in self.batch))
        with torch.no_grad():
            columns = side_by_side(batch.select_targets(batch.low_res), *batch.align(pl_module(batch.low_res)))
        columns["error"] = (columns["prediction"] - columns["truth"]).abs()
        middle, first = batch.middle_frames(), batch.video.flatten() == batch.video.flatten()[0]
        picture = grid({kind: images[middle] for kind, images in columns.items()})
        clip = gif(strip({kind: images[first] for kind, images in columns.items()}))
        for writer in writers:
            writer.add_image(f"test videos/{', '.join(columns)}", picture, epochs)
            _add_clip(writer, f"clip/{', '.join(columns)}", clip, epochs)


def layout(loss: str) -> dict[str, dict[str, list[Any]]]:
    """Return charts over all runs of a sweep; TensorBoard merges those of runs with other losses into the page.

    A loss has a chart of its own, training and validation in it: the scales of two losses have nothing in common.
    """
    return {
        "Losses of the sweep": {loss: ["Multiline", [f"{re.escape(loss)} loss/.*"]]},
        "Scores of the sweep": {
            "PSNR (dB), validation": ["Multiline", ["val/psnr$"]],
            "SSIM, validation": ["Multiline", ["val/ssim$"]],
        },
    }


def choices(provenance: dict[str, Any]) -> dict[str, Any]:
    """Return what the HPARAMS tab compares runs by, as plain values."""
    config = provenance["config"]
    return {
        **{key: provenance[key] for key in ("model", "loss", "seed")},
        "lr": (config["optimizer"] or {}).get("lr"),
        "batch_size": provenance["data"]["batch_size"],
        "epochs": config["trainer"].get("max_epochs"),
        "data": provenance["data"]["name"],
        "features": (provenance["features"] or {}).get("name", ""),
    }


def _loss(module: pl.LightningModule) -> str:
    return str(getattr(module, "provenance", {}).get("loss") or "the")


def _writers(trainer: pl.Trainer) -> list[SummaryWriter]:
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return [logger.experiment for logger in loggers] if trainer.is_global_zero else []


def _add_clip(writer: SummaryWriter, tag: str, clip: bytes, step: int) -> None:
    # add_video would need moviepy to write the same bytes
    value = Summary.Value(tag=tag, image=Summary.Image(encoded_image_string=clip))
    writer._get_file_writer().add_summary(Summary(value=[value]), step)
