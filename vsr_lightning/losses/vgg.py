"""The feature network of the perceptual loss: VGG-19's sixteen convolutions, and where their weights come from."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, WeightsEnum

from vsr_lightning.models.blocks import IMAGENET_MEAN, IMAGENET_STD
from vsr_lightning.utils.download import download, verify

log = logging.getLogger(__name__)
BUNDLED = Path(__file__).parent / "weights" / "digits.safetensors"  # its card, digits.md, lies beside it
BUNDLED_SHA256 = "dcfd3b56b6bd10a43f7b70c79664cc56e7751ccde0e6a71cfdcad06a942ba308"
WIDTH = 0.25  # of the bundled network's 64 to 512 channels, and of the random one's
Layers = dict[str, tuple[Tensor, Tensor]]


class _Layer(NamedTuple):
    position: int  # of the convolution in torchvision's ``features``
    width: int
    pool_first: bool
    shrinkage: int  # of height and width, by the pools so far


def _vgg19_layers() -> dict[str, _Layer]:
    layers, index = {}, 0
    for block, (width, convolutions) in enumerate(((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)), start=1):
        for i in range(1, convolutions + 1):
            pool_first = i == 1 and block > 1
            index += pool_first
            layers[f"relu{block}_{i}"] = _Layer(index, width, pool_first, 2 ** (block - 1))
            index += 2  # the convolution and its ReLU
    return layers


LAYERS = _vgg19_layers()  # Simonyan and Zisserman 2015, configuration E


class Normalize(nn.Module):
    """(B, 1 or 3, H, W) in [0, 1] -> (B, 3, H, W) as VGG-19 expects it; a gray channel is repeated."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


@dataclass(frozen=True)
class Features:
    """Weights of VGG-19's convolutions, of any width, and what they are."""

    layers: Layers  # ``relu1_1`` ... ``relu5_4`` -> (weight, bias) of the convolution before it
    name: str  # for tables: ``imagenet``, ``bundled``, ``random``, or a file's name and the start of its checksum
    checksum: str  # SHA-256 of the weights' values, whatever kind of file they come in


def load_features(name: str) -> Features:
    """Load the feature network.

    Args:
        name: ``imagenet`` (torchvision's VGG19_Weights.IMAGENET1K_V1, from its cache or downloaded), ``bundled`` (a
            quarter as wide, trained on handwritten digits, in the package), ``random`` (as wide as bundled, Kaiming,
            always the same), ``auto`` (imagenet if it can be had, else bundled, with a warning), or the path of a state
            dict (safetensors, or torch with tensors only) with torchvision's keys ``features.0.weight`` ...

    Raises:
        OSError: imagenet can't be had.
        ValueError: an unknown name, or a file that is damaged or holds no such weights.
    """
    if name == "random":
        return _features(random_layers(WIDTH), name)
    if name in ("imagenet", "auto"):
        try:
            return _imagenet()
        except (OSError, ValueError) as error:
            if name == "imagenet":
                raise
            instead = "the BUNDLED network, a small one trained on digits. features=imagenet makes this an error."
            log.warning("FEATURES: VGG-19's ImageNet weights can't be had (%s); the loss uses %s", error, instead)
    if name in ("bundled", "auto"):
        try:
            verify(BUNDLED, sha256_prefix=BUNDLED_SHA256)
        except (OSError, ValueError) as error:
            raise ValueError(f"the bundled weights are damaged: {error}; install vsr_lightning anew") from error
        return _features(_read(BUNDLED), "bundled")
    path = Path(str(name))
    if not path.is_file():
        raise ValueError(f"features={name} is no file, nor imagenet, bundled, random or auto")
    loaded = _features(_read(path), path.name)
    return replace(loaded, name=f"{path.name} {loaded.checksum[:8]}")


def torchvision_path(weights: WeightsEnum) -> Path:
    """Return where torchvision caches these weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]


imagenet_path = partial(torchvision_path, VGG19_Weights.IMAGENET1K_V1)


def _imagenet() -> Features:
    path, prefix = imagenet_path(), imagenet_path().stem.split("-")[1]
    try:
        download(VGG19_Weights.IMAGENET1K_V1.url, path, sha256_prefix=prefix)
    except OSError as error:
        raise OSError(f"{error}: put {path.name} in {path.parent}, or choose features=bundled or a file") from error
    verify(path, sha256_prefix=prefix)  # it may have been there before
    return _features(_read(path), "imagenet")


def _read(path: Path) -> Layers:
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise ValueError(f"{path} is not a readable state dict of tensors, or not what its name says") from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a state dict")
    layers, before = {}, 3
    for name, layer in LAYERS.items():
        key = f"features.{layer.position}"
        weight, bias = state.get(f"{key}.weight"), state.get(f"{key}.bias")
        if weight is None or bias is None:
            raise ValueError(f"{path} has no {key}.weight and .bias: expected VGG-19's, as torchvision names them")
        if weight.shape != (len(bias), before, 3, 3):
            raise ValueError(f"{path}: {key}.weight is {tuple(weight.shape)}, expected {(len(bias), before, 3, 3)}")
        # clones, so that the classifier's 494 MB go with the rest of the file
        layers[name], before = (weight.float().clone(), bias.float().clone()), len(bias)
    return layers


def random_layers(width: float) -> Layers:
    """Return Kaiming's random weights for VGG-19, each layer ``width`` times as wide: the same in every run."""
    generator = torch.Generator().manual_seed(0)  # one network for all runs, whatever their seed
    layers, before = {}, 3
    for name, layer in LAYERS.items():
        channels = round(width * layer.width)
        weight = torch.empty(channels, before, 3, 3)
        nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        layers[name], before = (weight, torch.zeros(channels)), channels
    return layers


def _features(layers: Layers, name: str) -> Features:
    digest = hashlib.sha256()
    for value in chain.from_iterable(layers.values()):
        digest.update(value.numpy().tobytes())
    return Features(layers, name, digest.hexdigest())
