"""Networks that learn to read the two digits of a frame; the bundled one, VGG-19, learns how distorted it is, too."""

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


class DigitNetwork(nn.Module):
    """A network that reads digits: images (B, 1, H, W) in [0, 1] -> logits (B, 10), or these and levels (B, 4).

    Attributes:
        name: of the file of its weights.
        purpose: what it is trained to do, and what for.
    """

    name: str
    purpose: str

    @property
    def structure(self) -> str:
        """What it is made of, in a few words for its card."""
        raise NotImplementedError

    def exported(self) -> dict[str, Tensor]:
        """Return the weights as they are kept."""
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}


class VGG19(DigitNetwork):
    """VGG-19's sixteen convolutions (Simonyan and Zisserman 2015, E), each batch-normalized, and two linear layers.

    The digits are read from the last ReLU, averaged over its positions; the distortion levels from the last ReLU of
    every block, so that the first layers, which see small details, learn to notice sharpness.

    Args:
        width: factor on the 64 to 512 channels, from one channel, 1/64, to 4 (else ValueError).
    """

    name = "digits"
    purpose = (
        "read the two handwritten digits of a 64x64 frame and to measure how distorted it is, "
        "for the perceptual loss on Moving MNIST"
    )

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
        self.widths = ends
        self.digits = nn.Linear(before, DIGITS)
        self.levels = nn.Linear(sum(ends), len(DISTORTIONS))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1 or 3, H, W) in [0, 1] -> logits of the digits (B, 10), distortion levels (B, 4)."""
        x, means = self.normalize(images), []
        for block in self.blocks:
            x = block(x)
            means.append(x.mean((2, 3)))
        return self.digits(means[-1]), self.levels(torch.cat(means, dim=1))

    @property
    def structure(self) -> str:
        widths = ", ".join(map(str, self.widths))
        return f"VGG-19's sixteen convolutions with {widths} channels in the five blocks, batch normalization folded in"

    def exported(self) -> dict[str, Tensor]:
        return self.folded()

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
    """Trains a network to read, and one with distortion levels to measure these: its features then register both.

    Args:
        network: what to train; where it gives no distortion levels, it learns to read only.
        optimizer: parameters -> optimizer.
        scheduler: optimizer and ``total_steps`` -> schedule, stepped every step.
    """

    def __init__(self, network: DigitNetwork, optimizer: OptimizerFactory, scheduler: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # trains half as fast again on a CPU
        self.optimizer, self.scheduler = optimizer, scheduler
        self.provenance: dict[str, Any] = {}

    def training_step(self, batch: DigitBatch, batch_idx: int) -> Tensor:
        logits, errors = self._outputs(batch)
        accuracy = share_found(count_digits(read_digits(logits)), count_digits(batch.digits)).mean()
        self._log("train", {"loss": errors["loss"].detach(), "accuracy": accuracy}, len(logits))
        return errors["loss"]

    def validation_step(self, batch: DigitBatch, batch_idx: int) -> None:
        self._score("val", batch)

    def test_step(self, batch: DigitBatch, batch_idx: int) -> None:
        self._score("test", batch)

    def configure_optimizers(self) -> Any:
        parameters = self.network.parameters()
        return make_optimizer(parameters, self.optimizer, self.scheduler, lambda: total_steps(self.trainer))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["provenance"] = self.provenance

    def _outputs(self, batch: DigitBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits of the digits, and the loss and what else is known of the errors."""
        outputs = self.network(batch.images.to(memory_format=torch.channels_last))
        logits, *levels = (output.float() for output in (outputs if isinstance(outputs, tuple) else (outputs,)))
        errors = {"loss": F.cross_entropy(logits, F.one_hot(batch.digits, DIGITS).float().mean(1))}
        for level in levels:
            errors["loss"] = errors["loss"] + LEVEL_WEIGHT * F.mse_loss(level, batch.level)
            errors["level_error"] = (level.detach() - batch.level).abs().mean()
        return logits, errors

    def _score(self, stage: str, batch: DigitBatch) -> None:
        logits, errors = self._outputs(batch)
        self._log(stage, errors, len(logits))
        found, shown = count_digits(read_digits(logits)), count_digits(batch.digits)
        hits, distorted = share_found(found, shown), batch.level.any(1)
        parts = {"accuracy": hits.new_ones(len(hits), dtype=torch.bool), "sharp": ~distorted, "distorted": distorted}
        for name, part in parts.items():
            if count := int(part.sum()):
                self._log(stage, {name: hits[part].mean()}, count)
        if stage == "test":
            for digit, (right, of) in enumerate(zip(found.minimum(shown).sum(0), shown.sum(0), strict=True)):
                if of:
                    self._log(stage, {f"digit_{digit}": right / of}, int(of))

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


def count_digits(digits: Tensor) -> Tensor:
    """(B, 2), two digits of each frame -> (B, 10), how often each occurs."""
    return F.one_hot(digits, DIGITS).sum(1)


def share_found(found: Tensor, shown: Tensor) -> Tensor:
    """Return (B,), the share of the two digits shown that were found, each as :func:`count_digits` returns them."""
    return found.minimum(shown).sum(1) / 2
