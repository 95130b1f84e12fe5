"""What a perceptual loss asks of the network that it looks through."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from vsr_lightning.models.blocks import IMAGENET_MEAN, IMAGENET_STD

Pairs = dict[str, tuple[Tensor, Tensor]]  # name of a convolution -> weight and bias
Fixed = TypeVar("Fixed", bound=nn.Module)


class Normalize(nn.Module):
    """(B, 1 or 3, H, W) in [0, 1] -> (B, 3, H, W) as a network was trained with; a gray channel is repeated."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class Features(nn.Module):
    """A fixed network whose layers a loss compares: one of your own defines what stands here.

    Attributes:
        name, checksum: for tables and records; the checksum is of the weights, whatever file they come in.
        network: what has these weights, where the name doesn't say so.
        layers: the names of the layers, in the order in which they are computed.
        presets: names for several layers at once, also for ``all`` if that isn't each of them.
        mean, std: of each channel of RGB in [0, 1], as the network was trained with.
        any_precision: whether ``activations`` takes images in half precision too; else they come in float32.
    """

    name: str
    checksum: str
    network: str = ""
    layers: tuple[str, ...]
    presets: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    any_precision: bool = False

    def activations(self, images: Tensor, wanted: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the output, (B, C, h, w), of each wanted layer in their order; nothing after the last.

        Images are (B, 3, H, W), normalized, and all is computed in their precision: autocast is off.
        """
        raise NotImplementedError

    def values_per_pixel(self, wanted: Collection[str]) -> float:
        """Return how many values are held for the backward pass, for each pixel of an image: an upper estimate."""
        return 1000.0

    def named(self, layers: str | Collection[str]) -> tuple[str, ...]:
        """Return the names that a choice of layers stands for: those of a preset, one, or several."""
        if layers == "all":
            return self.presets.get("all", self.layers)
        return self.presets.get(layers, (layers,)) if isinstance(layers, str) else tuple(layers)


class ConvolutionalFeatures(Features):
    """Features of a network that is convolutions with weight and bias.

    Args:
        convolutions: weight and bias by name, in the order of computation.
        name: see :class:`Features`.
    """

    any_precision = True

    def __init__(self, convolutions: Pairs, name: str) -> None:
        super().__init__()
        self.convolutions, self.name, self.checksum = convolutions, name, _checksum(convolutions)
        for key, (weight, bias) in convolutions.items():
            self.register_buffer(f"{key}_weight".replace(".", "_"), weight, persistent=False)
            self.register_buffer(f"{key}_bias".replace(".", "_"), bias, persistent=False)
        self._converted_for: tuple[torch.device, torch.dtype] | None = None
        self._converted: Pairs = {}

    def pair(self, name: str, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return a convolution's weight and bias as images need them; converted once: autocast would each time."""
        if self._converted_for != (images.device, images.dtype):
            self._converted_for, self._converted = (images.device, images.dtype), {}
        if name not in self._converted:
            weight, bias = (self.get_buffer(f"{name}_{part}".replace(".", "_")) for part in ("weight", "bias"))
            with torch.inference_mode(False):  # a test may come first, and a training after it
                # channels last: the order in which convolutions are fastest
                weight = weight.to(images.dtype, memory_format=torch.channels_last)
                self._converted[name] = weight, bias.to(images.dtype)
        return self._converted[name]


def _checksum(convolutions: Pairs) -> str:
    """Return the SHA-256 of the weights' values."""
    digest = hashlib.sha256()
    for value in chain.from_iterable(convolutions.values()):
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def as_buffers(network: Fixed) -> Fixed:
    """Turn a network's parameters into buffers, and save none: no optimizer and no checkpoint has them."""
    for module in network.modules():
        fixed = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, value in fixed:
            delattr(module, name)
            module.register_buffer(name, value.data, persistent=False)
    return network
