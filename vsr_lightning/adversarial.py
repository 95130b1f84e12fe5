"""Training against a second network, which learns to tell predictions from true frames."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from vsr_lightning.models.network import Network
from vsr_lightning.module import SuperResolution

OBJECTIVES = ("hinge", "relativistic")


class Adversarial(SuperResolution):
    """Train a network under its loss plus ``weight`` times what a discriminator makes of its predictions.

    Each step takes one prediction. The discriminator learns from it and from the true frames, the network from the
    discriminator as it was before the step, and both are then updated: the order of ESRGAN's training. Both sets of
    weights are groups of one optimizer, which keeps its state for each weight and takes a rate of its own for each
    group: the arithmetic is that of two optimizers, while schedules, half precision, accumulated gradients, several
    devices and an exact resume are as for any other training; only the relativistic objective depends on how a batch is
    split, since it takes the mean of what each device sees at once. Gradients are clipped for each network by itself.

    Logged beside the loss and its terms: ``loss_adversarial``, without its weight, and ``loss_discriminator``. ``loss``
    is without both, as in validation and test.

    Args:
        model, loss, how: see :class:`SuperResolution`.
        discriminator: (B, C, H, W) -> logits of any shape; see :mod:`vsr_lightning.models.discriminators`.
        weight: of the adversarial term, above 0.
        objective: ``hinge`` (Lim and Ye 2017), or ``relativistic``, the relativistic average (Jolicoeur-Martineau 2018)
            of ESRGAN.
        discriminator_optimizer: keys of the optimizer that are others for the discriminator, such as ``lr``.

    Raises:
        ValueError: an unknown objective, a weight that is not above 0, or a network that owns its training loss.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        discriminator: nn.Module,
        weight: float = 0.005,
        objective: str = "hinge",
        discriminator_optimizer: Mapping[str, Any] | None = None,
        **how: Any,
    ) -> None:
        super().__init__(model, loss, **how)
        if objective not in OBJECTIVES:
            raise ValueError(f"module.objective={objective} is unknown: choose {' or '.join(OBJECTIVES)}")
        if not isinstance(weight, int | float) or not weight > 0:
            raise ValueError(f"module.weight={weight} is out of range: give a number above 0, or leave module= out")
        if isinstance(model, Network) and type(model).training_loss is not Network.training_loss:
            raise ValueError("this network has a training loss of its own: leave module=adversarial out")
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.weight, self.relativistic = weight, objective == "relativistic"
        self.discriminator_optimizer = dict(discriminator_optimizer or {})

    def training_losses(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        losses = self.objective(prediction, target)
        fake, true = (images.contiguous(memory_format=torch.channels_last) for images in (prediction, target))
        # as it is for this step, a fixed function: the gradient reaches the prediction and no further
        fixed = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        on_true, on_fake = self.discriminator(true).float(), self.discriminator(fake.detach()).float()
        opinion = functional_call(self.discriminator, fixed, fake).float()
        adversarial = self._generator_loss(opinion, on_true.detach())
        discriminator = self._discriminator_loss(on_fake, on_true)
        values = losses | {"loss_adversarial": adversarial, "loss_discriminator": discriminator}
        return losses["loss"] + self.weight * adversarial + discriminator, values

    def _generator_loss(self, fake: Tensor, true: Tensor) -> Tensor:
        if not self.relativistic:
            return -fake.mean()
        return (_cross_entropy(fake - true.mean(), 1) + _cross_entropy(true - fake.mean(), 0)) / 2

    def _discriminator_loss(self, fake: Tensor, true: Tensor) -> Tensor:
        if not self.relativistic:
            return F.relu(1 - true).mean() + F.relu(1 + fake).mean()
        return (_cross_entropy(true - fake.mean(), 1) + _cross_entropy(fake - true.mean(), 0)) / 2

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Return those of the network, and the discriminator as one more."""
        mine = {"name": "discriminator", **self.discriminator_optimizer, "params": [*self.discriminator.parameters()]}
        return [*super().optimizer_groups(), mine]

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each network's gradients by themselves: one's outburst must not slow the other.

        ValueError in 16-mixed with a fused optimizer, which clips gradients before they are scaled back.
        """
        if not gradient_clip_val:
            return
        if self.trainer.scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            raise ValueError("a fused optimizer can't clip in trainer.precision=16-mixed: set optimizer.fused=false")
        for network in (self.model, self.discriminator):
            if gradient_clip_algorithm == "value":
                nn.utils.clip_grad_value_(network.parameters(), gradient_clip_val)
            else:
                nn.utils.clip_grad_norm_(network.parameters(), gradient_clip_val)


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
