"""The perceptual losses of the paper's Eq. 5 and of Johnson et al. 2016: differences of VGG-19's ReLU outputs."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vsr_lightning.losses.vgg import LAYERS, Features, Normalize, load_features

ORDERS = {"absolute": 1, "squared": 2}  # of the norm
LAYER_PRESETS = {
    "all": tuple(LAYERS),  # the text: "each ReLU activation"
    "published": ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"),  # the published code
}
AT_ONCE = {"cpu": 2**24, "cuda": 2**28}  # feature values that may be held for the backward pass: 64 MB, 1 GB in float32
SCALE = 2.0**12  # keeps small gradients from vanishing in float16; a power of two changes nothing elsewhere


class Perceptual(nn.Module):
    """Sum over layers of VGG-19 of the mean difference of their ReLU outputs.

    Absolute differences are the paper's Eq. 5; squared differences of one layer are the feature reconstruction loss of
    Johnson et al. 2016. The network's weights are buffers that are not saved: no optimizer and no checkpoint has them.

    Args:
        features: the feature network, or the name by which :func:`load_features` loads it.
        layers: ``all`` (16 layers), ``published`` (5), or names such as ``relu3_4``.
        normalize: whether to normalize images in [0, 1] as in VGG-19's training; False leaves them as they are.
        difference: ``absolute`` or ``squared``.

    Raises:
        ValueError: unknown or repeated layers, another difference, or features that can't be used.
    """

    def __init__(
        self,
        features: Features | str = "auto",
        layers: str | Sequence[str] = "all",
        normalize: bool = True,
        difference: str = "absolute",
    ) -> None:
        super().__init__()
        chosen = LAYER_PRESETS.get(layers, (layers,)) if isinstance(layers, str) else tuple(layers)
        if not chosen or not set(chosen) <= set(LAYERS) or len(set(chosen)) < len(chosen):
            names = ", ".join(LAYERS)
            raise ValueError(f"loss.layers={layers} is not all, published, or a list of different names of {names}")
        if difference not in ORDERS:
            raise ValueError(f"loss.difference={difference} is unknown: choose {' or '.join(ORDERS)}")
        self.order = ORDERS[difference]
        self.features = features if isinstance(features, Features) else load_features(features)
        self.layers = tuple(name for name in LAYERS if name in chosen)
        self.computed = list(LAYERS)[: 1 + list(LAYERS).index(self.layers[-1])]
        for name in self.computed:
            weight, bias = self.features.layers[name]
            self.register_buffer(f"{name}_weight", weight, persistent=False)
            self.register_buffer(f"{name}_bias", bias, persistent=False)
        self.normalize = Normalize() if normalize else Normalize((0.0,) * 3, (1.0,) * 3)
        self._converted: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, Tensor]]] = {}

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean of :meth:`distances`."""
        return self.distances(prediction, target).mean()

    def distances(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare (B, 1 or 3, H, W) images in [0, 1] one by one: (B,), at least 0; gradients reach ``prediction``."""
        sizes = (len(self.features.layers[name][1]) / LAYERS[name].shrinkage ** 2 for name in self.computed)
        values = target[:, 0].numel() * sum(sizes)
        parts = 1 + int(values / AT_ONCE.get(target.device.type, AT_ONCE["cuda"]))
        if torch.is_grad_enabled() and prediction.requires_grad:
            return _GradientInParts.apply(prediction, target, self._distances, parts)
        pairs = zip(prediction.chunk(parts), target.chunk(parts), strict=True)
        return torch.cat([self._distances(*pair) for pair in pairs])

    def _distances(self, prediction: Tensor, target: Tensor) -> Tensor:
        kind, dtype = target.device.type, self.get_buffer("relu1_1_bias").dtype
        exact = torch.promote_types(dtype, torch.float32)
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        convolutions = self._convolutions(target.device, dtype)
        with torch.autocast(kind, enabled=False):
            # channels last: the order in which convolutions are fastest
            x = self.normalize(prediction).to(dtype, memory_format=torch.channels_last)
            y = self.normalize(target.detach()).to(dtype, memory_format=torch.channels_last)
            distance = torch.zeros(len(x), dtype=exact, device=x.device)
            for name, (weight, bias) in zip(self.computed, convolutions, strict=True):
                if LAYERS[name].pool_first:
                    x, y = F.max_pool2d(x, 2), F.max_pool2d(y, 2)
                x = F.relu_(F.conv2d(x, weight, bias, padding=1))
                y = F.relu_(F.conv2d(y, weight, bias, padding=1))
                if name in self.layers:
                    total = torch.linalg.vector_norm(x - y, ord=self.order, dim=(1, 2, 3), dtype=exact)
                    distance = distance + total**self.order / x[0].numel()
        return distance

    def _convolutions(self, device: torch.device, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """Return the weights on a device in a precision, converted once: autocast would convert them at each call."""
        if (device, dtype) not in self._converted:
            pairs = ((self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")) for name in self.computed)
            with torch.inference_mode(False):  # a test may come first, and a training after it
                converted = [(w.to(dtype, memory_format=torch.channels_last), b.to(dtype)) for w, b in pairs]
            self._converted = {(device, dtype): converted}
        return self._converted[device, dtype]


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
