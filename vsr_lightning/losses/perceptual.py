"""Perceptual losses: differences of what a feature network makes of two images."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vsr_lightning.losses.features import Features, Normalize, as_buffers
from vsr_lightning.losses.load_features import load_features

DIFFERENCES = ("absolute", "squared", "normalized")
EPS = 1e-10  # keeps the length of a vector of zeros from dividing by zero, as in torchmetrics' LPIPS
AT_ONCE = {"cpu": 2**24, "cuda": 2**28}  # feature values that may be held for the backward pass: 64 MB, 1 GB in float32
SCALE = 2.0**12  # keeps small gradients from vanishing in float16; a power of two changes nothing elsewhere


class Perceptual(nn.Module):
    """Weighted sum, over layers of a feature network, of the mean difference of their outputs.

    Absolute differences of VGG-19's ReLUs are the paper's Eq. 5. Squared differences of one of them are the feature
    reconstruction loss of Johnson et al. 2016. Normalized ones are those of LPIPS (Zhang et al. 2018) without its
    learned weights: at each position, the squared distance of the channels' vectors, each divided by its length. The
    network learns nothing, and no checkpoint has its weights.

    Args:
        features: the feature network, or the name by which
            :func:`vsr_lightning.losses.load_features.load_features` loads it.
        layers: a preset of the network, such as ``all``; a name such as ``relu3_4``, or names; or weights by name, such
            as ``{"conv5_4": 1.0}``.
        normalize: whether to normalize images in [0, 1] as in the network's training; False leaves them as they are.
        difference: ``absolute``, ``squared`` or ``normalized``.

    Raises:
        ValueError: unknown or repeated layers, a weight that is not above 0, another difference, or features that can't
            be used.
    """

    def __init__(
        self,
        features: Features | str = "auto",
        layers: str | Sequence[str] | Mapping[str, float] = "all",
        normalize: bool = True,
        difference: str = "absolute",
    ) -> None:
        super().__init__()
        if difference not in DIFFERENCES:
            raise ValueError(f"loss.difference={difference} is unknown: choose one of {', '.join(DIFFERENCES)}")
        self.difference = difference
        found = features if isinstance(features, Features) else load_features(features, layers)
        self.weights = _weights(found, layers)
        self.features, self.values_per_pixel = as_buffers(found), found.values_per_pixel(self.weights)
        self.normalize = Normalize(found.mean, found.std) if normalize else Normalize((0.0,) * 3, (1.0,) * 3)

    def train(self, mode: bool = True) -> "Perceptual":
        """Leave the feature network as it is in use, whatever it has of batch normalization or dropout."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean of :meth:`distances`."""
        return self.distances(prediction, target).mean()

    def distances(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare (B, 1 or 3, H, W) images in [0, 1] one by one: (B,), at least 0; gradients reach ``prediction``."""
        values = target[:, 0].numel() * self.values_per_pixel
        parts = 1 + int(values / AT_ONCE.get(target.device.type, AT_ONCE["cuda"]))
        if torch.is_grad_enabled() and prediction.requires_grad:
            return _GradientInParts.apply(prediction, target, self._distances, parts)
        pairs = zip(prediction.chunk(parts), target.chunk(parts), strict=True)
        return torch.cat([self._distances(*pair) for pair in pairs])

    def _distances(self, prediction: Tensor, target: Tensor) -> Tensor:
        kind, dtype = target.device.type, self.normalize.mean.dtype
        exact = torch.promote_types(dtype, torch.float32)
        if torch.is_autocast_enabled(kind) and self.features.any_precision:
            dtype = torch.get_autocast_dtype(kind)
        with torch.autocast(kind, enabled=False):
            # channels last: the order in which convolutions are fastest
            x = self.normalize(prediction).to(dtype, memory_format=torch.channels_last)
            y = self.normalize(target.detach()).to(dtype, memory_format=torch.channels_last)
            distance = torch.zeros(len(x), dtype=exact, device=x.device)
            # side by side, so that no more than one layer of each is held where there is no backward pass
            both = (self.features.activations(images, self.weights) for images in (x, y))
            for (name, a), (_, b) in zip(*both, strict=True):
                distance = distance + self.weights[name] * self._difference(a, b, exact)
        return distance

    def _difference(self, x: Tensor, y: Tensor, exact: torch.dtype) -> Tensor:
        """(B, C, h, w) each -> (B,)."""
        if self.difference == "normalized":
            x, y = (it.to(exact) / (EPS + it.to(exact).square().sum(1, keepdim=True)).sqrt() for it in (x, y))
            return (x - y).square().sum(1).mean((1, 2))
        order = 1 if self.difference == "absolute" else 2
        total = torch.linalg.vector_norm(x - y, ord=order, dim=(1, 2, 3), dtype=exact)
        return total**order / x[0].numel()


def _weights(features: Features, layers: str | Sequence[str] | Mapping[str, float]) -> dict[str, float]:
    """Return the weight of each chosen layer, in the network's order."""
    chosen = features.named(layers)
    if not chosen or not set(chosen) <= set(features.layers) or len(set(chosen)) < len(chosen):
        presets, names = ", ".join({"all": 0, **features.presets}), ", ".join(features.layers)
        choices = f"{presets}, or a list of different names, or weights by name, of {names}"
        raise ValueError(f"loss.layers={layers} is not {choices}")
    weights = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(chosen, 1.0)
    if wrong := [name for name, value in weights.items() if not isinstance(value, int | float) or not 0 < value < inf]:
        raise ValueError(f"loss.layers.{wrong[0]}={weights[wrong[0]]}: give a number above 0")
    return {name: weights[name] for name in features.layers if name in weights}


class _GradientInParts(torch.autograd.Function):
    """``apply(prediction, target, distances, parts)``: (B,) distances of (B, C, H, W) images, in that many parts.

    The feature maps of a whole batch take more than a laptop's memory, and :func:`torch.utils.checkpoint.checkpoint`
    would compute them twice. Since the network learns nothing and the loss comes last, each part's gradient is taken
    while its feature maps are there, and only scaled later. It reaches ``prediction`` alone, and has no derivative.
    """

    @staticmethod
    def forward(ctx: Any, prediction: Tensor, target: Tensor, distances: Callable[..., Tensor], parts: int) -> Tensor:
        values, gradients = [], []
        for x, y in zip(prediction.detach().chunk(parts), target.chunk(parts), strict=True):
            with torch.enable_grad():
                value = distances(x.requires_grad_(), y)
                (gradient,) = torch.autograd.grad((SCALE * value).sum(), x)
            values.append(value.detach())
            gradients.append(gradient / SCALE)
        ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_output[:, None, None, None].to(gradient.dtype), None, None, None
