"""Joins one network, one loss, the scores and the optimizer; the only file that knows Lightning's training hooks."""

import re
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torchmetrics import MeanMetric

from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.degradation import Batch
from vsr_lightning.judges.tiles import SIDE, Tiles
from vsr_lightning.judges.whole_test import WholeTest, real_tiles
from vsr_lightning.losses import SumOfTerms
from vsr_lightning.metrics import METRICS, Metric, frame_scores, in_parts, score_frames, temporal_error
from vsr_lightning.runs.migrate import upgrade_weights
from vsr_lightning.utils.checks import check_number
from vsr_lightning.utils.optimizer import OptimizerFactory, leave_frozen, make_optimizer, parameter_groups, total_steps

RESERVED = re.compile("video|frame|epoch|step|loss(_.*)?")  # columns beside the metrics, in frames.csv and metrics.csv
ENOUGH = 64  # pixels per side on which a metric shows whether it can score frames
TRAIN_SCORES_EVERY = 10  # batches: SSIM costs as much as a small network's step, and the curve is as good


class SuperResolution(pl.LightningModule):
    """Train and score a network under a loss.

    Args:
        model: (B, T, C, h, w) low-res in [0, 1] -> (B, C, H, W) or (B, T, C, H, W); see :mod:`vsr_lightning.models`.
        loss: (prediction, target) -> scalar; see :mod:`vsr_lightning.losses`.
        optimizer: parameters -> optimizer.
        scheduler: optimizer -> learning-rate schedule; see :func:`vsr_lightning.utils.optimizer.make_optimizer`.
        parameter_groups: parts of the network that train at another rate, or later; see
            :func:`vsr_lightning.utils.optimizer.parameter_groups`.
        luminance: whether PSNR and SSIM are of the luminance only, see :func:`vsr_lightning.metrics.frame_scores`.
        crop_border: pixels at each side of a frame that these two leave out.
        metrics: further metrics by name, beside :data:`vsr_lightning.metrics.METRICS`.
        early_metrics: names of metrics of single frames that training and validation compute too, not the test only.

    Raises:
        ValueError: one of the last four is out of range or unknown, or a metric's name can't be that of a column.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        optimizer: OptimizerFactory = torch.optim.Adam,
        scheduler: Any = None,
        parameter_groups: Mapping[str, Mapping[str, Any]] | None = None,
        luminance: bool = False,
        crop_border: int = 0,
        metrics: Mapping[str, Metric] | None = None,
        early_metrics: str | Collection[str] = (),
    ) -> None:
        super().__init__()
        names = [str(name) for name in metrics or ()]
        if wrong := [name for name in names if not name.isidentifier() or RESERVED.fullmatch(name)]:
            rule = "a Python name other than video, frame, epoch, step, loss or loss_NAME"
            raise ValueError(f"module.metrics has {wrong[0]!r}, which can't name a column of scores: choose {rule}")
        if taken := sorted(METRICS.keys() & (metrics or {})):
            raise ValueError(f"module.metrics.{taken[0]} has the name of another metric: choose another name")
        if not isinstance(luminance, bool):
            raise ValueError(f"module.luminance={luminance} is unknown: choose true or false")
        check_number("module.crop_border", crop_border, 0)
        self.scoring: dict[str, Any] = {"luminance": luminance, "crop_border": crop_border}
        self.metrics = {**METRICS, **(metrics or {})}
        for name in [early_metrics] if isinstance(early_metrics, str) else early_metrics:
            self.metrics[name] = self._early(name)
        # channels last: the order in which convolutions are fastest, on CPUs too; shapes and values stay
        self.model, self.loss = model.to(memory_format=torch.channels_last), loss
        self.optimizer, self.scheduler, self.parameter_groups = optimizer, scheduler, parameter_groups or {}
        self.tested_frames = 0  # of all devices, by the last test
        self.late_scores: dict[str, dict[tuple[int, int], float]] = {}  # of its end, by video and frame
        self.whole_test: WholeTest | None = None
        self.real: Tiles | None = None  # what the metrics of a test set compare its outputs with
        self.provenance: dict[str, Any] = {}  # plain values; travels in every checkpoint
        # of this epoch so far, over frames, by "train/NAME", "val/NAME" or "test/NAME"
        self.means: MutableMapping[str, MeanMetric] = nn.ModuleDict()  # type: ignore[assignment]

    def _early(self, name: str) -> Metric:
        scored = [known for known, metric in self.metrics.items() if metric.function and metric.sees == "frame"]
        if name not in scored:
            choices = f"no metric of a test's single frames: choose from {', '.join(scored)}"
            raise ValueError(f"module.early_metrics has {name!r}, which is {choices}")
        metric = self.metrics[name]
        if metric.needs and not (path := metric.needs()).exists():
            raise ValueError(f"module.early_metrics has {name!r}, which needs {path}: fetch it, or leave it out")
        return replace(metric, test_only=False)

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, T, C, h, w) -> (B, C, H, W), or (B, T, C, H, W) of a network that takes clips."""
        prediction: Tensor = self.model(low_res)
        return prediction

    def objective(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the batch's ``loss``, and of a sum each term by itself, ``loss_NAME``."""
        if isinstance(self.loss, SumOfTerms):
            terms = self.loss.terms(prediction, target)
            return {"loss": self.loss.total(terms), **{f"loss_{name}": value for name, value in terms.items()}}
        return {"loss": self.loss(prediction, target)}

    def training_losses(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what a step is to lower, and what to log of it: :meth:`objective`'s values."""
        losses = self.objective(prediction, target)
        return losses["loss"], losses

    def check_sizes(self, train_size: Sequence[int], test_size: Sequence[int]) -> None:
        """Refuse frames that are too small for a metric, before a training is over and only then scored.

        Both sizes are (C, H, W) of the smallest frames: those of training and validation, and those of tests.

        Raises:
            ValueError: a metric can't score such frames.
        """
        ramps = [torch.linspace(0, 1, prod(size)).view(1, *size) for size in (train_size, test_size)]
        for ramp in ramps:
            in_parts(partial(frame_scores, **self.scoring), ramp, 1 - ramp)
        for name, metric in self.metrics.items():
            for ramp in ramps[metric.test_only :]:
                small = ramp[..., :ENOUGH, :ENOUGH]
                try:
                    score_frames({name: metric}, small, 1 - small)
                    if metric.sees == "video" and metric.function and metric.available:
                        metric.function(small.expand(3, -1, -1, -1), (1 - small).expand(3, -1, -1, -1))
                except (RuntimeError, ValueError) as error:
                    size = "{}x{}".format(*ramp.shape[-2:])
                    raise ValueError(
                        f"{name} can't be scored on frames of {size} ({error}): give larger ones"
                    ) from error

    def frame_scores(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the scores that are quick enough for every step, (N,) each."""
        own = {name: metric for name, metric in self.metrics.items() if not metric.test_only}
        scores = in_parts(partial(frame_scores, **self.scoring), prediction, target)
        return scores | score_frames(own, prediction, target)

    def test_scores(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the scores that only a test takes the time for, (N,) each, of predicted frames (N, C, H, W)."""
        changes = temporal_error(prediction, batch.frames, batch.video.flatten(), batch.frame.flatten())
        own = {name: metric for name, metric in self.metrics.items() if metric.test_only}
        return score_frames(own, prediction, batch.frames) | {"temporal_error": changes}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the batch's loss; scores every tenth batch."""
        scores: dict[str, Tensor] = {}
        own_loss = getattr(self.model, "training_loss", None)  # of a network that is a Network
        own = own_loss(batch.low_res, batch.target) if own_loss else None
        if own is None:
            prediction, target = batch.align(self(batch.low_res))
            loss, losses = self.training_losses(prediction, target)
            if batch_idx % TRAIN_SCORES_EVERY == 0:
                found = self.frame_scores(prediction.detach(), target)
                scores = {name: score.nanmean() for name, score in found.items()}
        else:
            loss, losses = own, {"loss": own}
        count, values = len(batch.frames), {name: value.detach() for name, value in losses.items()} | scores
        self._add("train", {name: value.expand(count) for name, value in values.items()})
        for key, mean in self.means.items():
            if key.startswith("train/"):  # those of a resumed epoch too
                self.log(key, mean, on_step=False, on_epoch=True, logger=False, metric_attribute=key)
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return loss
        # this device's frames over the mean of all devices, which DDP's mean of gradients leaves out
        frames = torch.tensor(float(count), device=self.device)
        return loss * (frames / self.trainer.strategy.reduce(frames.clone(), reduce_op="mean"))

    def on_fit_start(self) -> None:
        """Refuse to keep the weights of the worst epoch as the best, or by a metric of the test only (ValueError)."""
        for best in (it for it in self.trainer.checkpoint_callbacks if isinstance(it, ModelCheckpoint)):
            monitor = str(best.monitor)
            if metric := self.metrics.get(name := monitor.removeprefix("val/")):
                if metric.test_only:
                    line = f"callbacks.best.monitor={monitor} is not computed in validation"
                    remedy = f"give module.early_metrics=[{name}], too" if metric.function else "choose another"
                    raise ValueError(f"{line}: {remedy}")
                mode = "max" if metric.higher_is_better else "min"
                if best.mode != mode:
                    line = f"monitor={monitor} with mode={best.mode} keeps the worst epoch's weights"
                    raise ValueError(f"callbacks.best: {line}: give callbacks.best.mode={mode}, too")

    def on_train_epoch_end(self) -> None:
        """Write the means to the loggers; Lightning would do so after the checkpoint, and a resumed run lack them."""
        means = {name: float(mean.compute()) for name, mean in self.means.items()}
        for logger in self.trainer.loggers:
            logger.log_metrics(means | {"epoch": self.current_epoch}, step=self.global_step - 1)
        self.means.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score one window per video."""
        self._score("val", batch)

    def on_test_start(self) -> None:
        """Prepare for the metrics that see more than a frame."""
        if wanted := {name: it for name, it in self.metrics.items() if it.sees != "frame" and it.available}:
            data: VideoData = self.trainer.datamodule  # type: ignore[attr-defined]
            self.real, side = real_tiles(data) if any(it.sees == "set" for it in wanted.values()) else (None, SIDE)
            self.whole_test = WholeTest(wanted, len(data.test_videos), side)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Score all frames, also perceptually; return ``video``, ``frame`` and each score, (N,) each."""
        prediction, scores = self._score("test", batch)
        slower = self.test_scores(prediction, batch)
        if self.whole_test:
            self.whole_test.add(prediction, batch.frames, batch.video.flatten(), batch.frame.flatten())
        counts = batch.video.flatten() >= 0
        # the first frame of a video has no temporal error
        self._add("test", {name: value[counts & ~value.isnan()] for name, value in slower.items()})
        return {"video": batch.video.flatten(), "frame": batch.frame.flatten(), **scores, **slower}

    def on_validation_epoch_end(self) -> None:
        """Log the means over the frames of all devices."""
        for key in [key for key in self.means if not key.startswith("train/")]:
            mean = self.means.pop(key)
            with mean.sync_context():  # sums over devices: the mean of their means would weigh uneven shares alike
                if key == "test/loss":
                    self.tested_frames = int(mean.weight)
                if mean.weight:
                    self.log(key, mean.mean_value / mean.weight, sync_dist=True)

    def on_test_epoch_end(self) -> None:
        """Log the means, also of what only now can be computed."""
        self.late_scores = self.whole_test.finish(self.real) if self.whole_test else {}
        for name in self.late_scores:
            assert self.whole_test
            self._add("test", {name: self.whole_test.values(name).to(self.device, torch.float32)})
        self.whole_test = self.real = None
        self.on_validation_epoch_end()

    def configure_optimizers(self) -> Any:
        """One optimizer, and its schedule if there is one."""
        groups = self.optimizer_groups()
        if len(groups) > 1:
            groups[0].setdefault("name", "network")  # in the charts of the learning rates
        return make_optimizer(groups, self.optimizer, self.scheduler, lambda: total_steps(self.trainer))

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Return what is trained, in groups with the keys of the optimizer that are their own."""
        return parameter_groups(self.model, self.parameter_groups)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave the groups alone that are frozen at first."""
        leave_frozen(optimizer, self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the provenance, and of an unfinished epoch each mean as (sum over frames, frames)."""
        checkpoint["provenance"], checkpoint["sums"] = self.provenance, {}
        for name, mean in self.means.items():
            with mean.sync_context():  # over all devices
                checkpoint["sums"][name.removeprefix("train/")] = torch.stack([mean.mean_value, mean.weight])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the means of an unfinished epoch; the first device takes what all had."""
        checkpoint["state_dict"] = upgrade_weights(checkpoint)
        for name, sums in checkpoint.get("sums", {}).items():
            total, frames = sums if self.global_rank == 0 else torch.zeros_like(sums)
            self._add("train", {name: total.new_empty(0)})  # torchmetrics warns of a mean without an update
            self.means[f"train/{name}"].merge_state({"mean_value": total, "weight": frames})

    def _score(self, stage: str, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        prediction, target = batch.align(self(batch.given_to(self.model)))
        scores, counts = self.frame_scores(prediction, target), batch.video.flatten() >= 0  # see PlanSampler
        for name, value in (self.objective(prediction, target) | scores).items():
            some = name in self.metrics and self.metrics[name].function  # such a metric may leave out frames, by NaN
            kept = counts & ~value.isnan() if some else counts
            self._add(stage, {name: value.expand(len(counts))[kept]})
        return prediction, scores

    def _add(self, stage: str, values: dict[str, Tensor]) -> None:
        """Add values, one per frame, (N,), to the epoch's means over frames, whatever the batches and devices."""
        for name, value in values.items():
            key = f"{stage}/{name}"
            if key not in self.means:
                # without the search for NaN, for which a GPU waits, and without which torchmetrics drops the weights
                self.means[key] = MeanMetric(nan_strategy="disable").to(self.device)
            self.means[key].update(value)
