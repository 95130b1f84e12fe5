"""VGG-19 that learns to read the two digits of a frame, and how distorted it is: the bundled feature network."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vsr_lightning.feature_network.digit_frames import DISTORTIONS, DigitBatch
from vsr_lightning.losses.features import Normalize
from vsr_lightning.losses.vgg import LAYERS
from vsr_lightning.utils.optimizer import OptimizerFactory, make_optimizer, total_steps

DIGITS = 10
LEVEL_WEIGHT = 1.0  # of the levels' squared error beside the digits' cross-entropy


class VGG19(nn.Module):
    """VGG-19's sixteen convolutions (Simonyan and Zisserman 2015, E), each batch-normalized, and two linear layers.

    The digits are read from the last ReLU, averaged over its positions; the distortion levels from the last ReLU of
    every block, so that the first layers, which see small details, learn to notice sharpness.

    Args:
        width: factor on the 64 to 512 channels, from one channel, 1/64, to 4 (else ValueError).
    """

    def __init__(self, width: float = 0.25) -> None:
        super().__init__()
        if not isinstance(width, int | float) or not 1 / 64 <= width <= 4:
            raise ValueError(f"width={width} is out of range: choose 0.016 (one channel) to 4")
        self.normalize = Normalize()
        blocks: list[list[nn.Module]] = []
        before, ends = 3, []
        for layer in LAYERS.values():
            channels = round(width * layer.width)
            if layer.pool_first or not blocks:
                blocks.append([nn.MaxPool2d(2)] * layer.pool_first)
                ends.append(channels)
            convolution = nn.Conv2d(before, channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            blocks[-1] += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
            before = channels
        self.blocks = nn.ModuleList(nn.Sequential(*block) for block in blocks)
        self.digits = nn.Linear(before, DIGITS)
        self.levels = nn.Linear(sum(ends), len(DISTORTIONS))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1 or 3, H, W) in [0, 1] -> logits of the digits (B, 10), distortion levels (B, 4)."""
        x, means = self.normalize(images), []
        for block in self.blocks:
            x = block(x)
            means.append(x.mean((2, 3)))
        return self.digits(means[-1]), self.levels(torch.cat(means, dim=1))

    def folded(self) -> dict[str, Tensor]:
        """Return the convolutions with the normalization folded in, named as in torchvision's VGG-19 without it."""
        modules = [*deepcopy(self).eval().modules()]
        convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
        norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
        return {
            f"features.{layer.position}.{name}": value.detach().cpu().contiguous()
            for layer, conv, norm in zip(LAYERS.values(), convolutions, norms, strict=True)
            for name, value in fuse_conv_bn_eval(conv, norm).named_parameters()
        }


class Recognition(pl.LightningModule):
    """Trains a network on both tasks, so that its features keep a digit's identity and register how distorted it is.

    Args:
        network: images -> logits of the digits, distortion levels.
        optimizer: parameters -> optimizer.
        scheduler: optimizer and ``total_steps`` -> schedule, stepped every step.
    """

    def __init__(self, network: VGG19, optimizer: OptimizerFactory, scheduler: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # trains half as fast again on a CPU
        self.optimizer, self.scheduler = optimizer, scheduler
        self.provenance: dict[str, Any] = {}

    def training_step(self, batch: DigitBatch, batch_idx: int) -> Tensor:
        logits, _, loss = self._outputs(batch)
        self._log("train", {"loss": loss.detach(), "accuracy": _hits(logits, batch.digits).mean()}, len(logits))
        return loss

    def validation_step(self, batch: DigitBatch, batch_idx: int) -> None:
        self._score("val", batch)

    def test_step(self, batch: DigitBatch, batch_idx: int) -> None:
        self._score("test", batch)

    def configure_optimizers(self) -> Any:
        parameters = self.network.parameters()
        return make_optimizer(parameters, self.optimizer, self.scheduler, lambda: total_steps(self.trainer))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["provenance"] = self.provenance

    def _outputs(self, batch: DigitBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of the digits, the distortion levels, and the loss."""
        outputs = self.network(batch.images.to(memory_format=torch.channels_last))
        logits, level = (output.float() for output in outputs)
        halves = F.one_hot(batch.digits, DIGITS).float().mean(1)
        return logits, level, F.cross_entropy(logits, halves) + LEVEL_WEIGHT * F.mse_loss(level, batch.level)

    def _score(self, stage: str, batch: DigitBatch) -> None:
        logits, level, loss = self._outputs(batch)
        error = (level - batch.level).abs().mean()
        self._log(stage, {"loss": loss, "level_error": error}, len(logits))
        hits, distorted = _hits(logits, batch.digits), batch.level.any(1)
        parts = {"accuracy": hits.new_ones(len(hits), dtype=torch.bool), "sharp": ~distorted, "distorted": distorted}
        for name, part in parts.items():
            if count := int(part.sum()):
                self._log(stage, {name: hits[part].mean()}, count)
        if stage == "test":
            found = _count(read_digits(logits)).minimum(_count(batch.digits)).sum(0)
            for digit, (right, shown) in enumerate(zip(found, _count(batch.digits).sum(0), strict=True)):
                if shown:
                    self._log(stage, {f"digit_{digit}": right / shown}, int(shown))

    def _log(self, stage: str, values: dict[str, Tensor], count: int) -> None:
        named = {f"{stage}/{name}": value for name, value in values.items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)


def read_digits(logits: Tensor) -> Tensor:
    """Return the two most likely digits, (B, 2), from (B, 10) logits trained on a share of one half per digit."""
    share = logits.softmax(1)
    first = share.argmax(1)
    # two equal digits share a probability near one, half of which is left for the second
    second = (share - 0.5 * F.one_hot(first, DIGITS)).argmax(1)
    return torch.stack([first, second], dim=1)


def _hits(logits: Tensor, digits: Tensor) -> Tensor:
    """Return (B,), the share of the two digits that were found, in any order."""
    return _count(read_digits(logits)).minimum(_count(digits)).sum(1) / 2


def _count(digits: Tensor) -> Tensor:
    return F.one_hot(digits, DIGITS).sum(1)
