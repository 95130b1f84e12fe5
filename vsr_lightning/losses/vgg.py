"""VGG-19's sixteen convolutions as a feature network, and where their weights come from."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import ClassVar, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import VGG19_Weights, WeightsEnum

from vsr_lightning.losses.features import ConvolutionalFeatures, Pairs
from vsr_lightning.utils.download import download, verify

BUNDLED = Path(__file__).parent / "weights" / "digits.safetensors"  # its card, digits.md, lies beside it
BUNDLED_SHA256 = "dcfd3b56b6bd10a43f7b70c79664cc56e7751ccde0e6a71cfdcad06a942ba308"
WIDTH = 0.25  # of the bundled network's 64 to 512 channels, and of the random one's


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


def before_relu(name: str) -> str:
    """Return the name of the convolution before a ReLU: ``relu1_1`` -> ``conv1_1``."""
    return name.replace("relu", "conv")


class VGG19Features(ConvolutionalFeatures):
    """VGG-19 of any width: ``conv1_1``, ``relu1_1`` ... ``conv5_4``, ``relu5_4``, before and after each ReLU.

    Args:
        convolutions: ``relu1_1`` ... ``relu5_4`` -> weight and bias of the convolution before it.
        name: see :class:`ConvolutionalFeatures`.
    """

    layers = tuple(name for relu in LAYERS for name in (before_relu(relu), relu))
    network = "VGG-19"
    presets: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "all": tuple(LAYERS),  # the text: "each ReLU activation"
        "published": ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"),  # the published code
    }

    def values_per_pixel(self, wanted: Collection[str]) -> float:
        computed = 1 + max(self.layers.index(name) for name in wanted) // 2
        channels = [(name, len(bias)) for name, (_, bias) in self.convolutions.items()]
        return sum(count / LAYERS[name].shrinkage ** 2 for name, count in channels[:computed])

    def activations(self, images: Tensor, wanted: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        last, x = max(wanted, key=self.layers.index), images
        for name, layer in LAYERS.items():
            if layer.pool_first:
                x = F.max_pool2d(x, 2)
            x = F.conv2d(x, *self.pair(name, images), padding=1)
            if (before := before_relu(name)) in wanted:
                yield before, x
            if last == before:
                return
            x = F.relu(x) if before in wanted else F.relu_(x)
            if name in wanted:
                yield name, x
            if last == name:
                return


def torchvision_path(weights: WeightsEnum) -> Path:
    """Return where torchvision caches these weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]


imagenet_path = partial(torchvision_path, VGG19_Weights.IMAGENET1K_V1)


def imagenet() -> VGG19Features:
    """Return ImageNet's, from torchvision's cache or downloaded; OSError where they can't be had."""
    path, prefix = imagenet_path(), imagenet_path().stem.split("-")[1]
    try:
        download(VGG19_Weights.IMAGENET1K_V1.url, path, sha256_prefix=prefix)
    except OSError as error:
        raise OSError(f"{error}: put {path.name} in {path.parent}, or choose features=bundled or a file") from error
    verify(path, sha256_prefix=prefix)  # it may have been there before
    return VGG19Features(_read(path), "imagenet")


def bundled() -> VGG19Features:
    """Return those that come with the package; ValueError if they are damaged."""
    try:
        verify(BUNDLED, sha256_prefix=BUNDLED_SHA256)
    except (OSError, ValueError) as error:
        raise ValueError(f"the bundled weights are damaged: {error}; install vsr_lightning anew") from error
    return VGG19Features(_read(BUNDLED), "bundled")


def from_file(path: Path) -> VGG19Features:
    """Return those of a state dict with torchvision's keys; ValueError if it is damaged or holds no such weights."""
    loaded = VGG19Features(_read(path), path.name)
    loaded.name = f"{path.name} {loaded.checksum[:8]}"
    return loaded


def _read(path: Path) -> Pairs:
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


def random_layers(width: float) -> Pairs:
    """Return Kaiming's random weights for VGG-19, each layer ``width`` times as wide: the same in every run."""
    generator = torch.Generator().manual_seed(0)  # one network for all runs, whatever their seed
    layers, before = {}, 3
    for name, layer in LAYERS.items():
        channels = round(width * layer.width)
        weight = torch.empty(channels, before, 3, 3)
        nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        layers[name], before = (weight, torch.zeros(channels)), channels
    return layers
