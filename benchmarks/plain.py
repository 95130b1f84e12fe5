"""The same work written plainly, as one would without this project: what the benchmarks compare with."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset
from torchvision.datasets import MovingMNIST
from torchvision.models import vgg19
from torchvision.transforms import InterpolationMode, v2

from benchmarks.measure import DEVICE, Laps
from vsr_lightning.losses.vgg import LAYERS, VGG19Features
from vsr_lightning.models.blocks import IMAGENET_MEAN, IMAGENET_STD

Loss = Callable[[Tensor, Tensor], Tensor]


def degrade_frame(frame: Tensor, sigma: float) -> Tensor:
    """(1, 64, 64) in [0, 1] -> (1, 32, 32)."""
    small = TF.resize(frame, [32, 32], InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
    return TF.gaussian_blur(small, [3, 3], [sigma, sigma])


class OneWindowAtATime:
    """The published procedure: each window for itself, each frame degraded for itself, gradients over 100 windows.

    Args:
        network: (1, 5, 1, 32, 32) -> (1, 1, 64, 64).
        loss: (prediction, target) -> scalar.
        videos: (N, T, 64, 64) uint8.
    """

    def __init__(self, network: nn.Module, loss: Loss, videos: Tensor) -> None:
        self.network, self.loss, self.videos = plainly(network).to(DEVICE), loss, videos
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.generator = torch.Generator().manual_seed(0)

    def windows(self, count: int) -> float:
        """Take forward and backward of ``count`` windows, gradients add up; return seconds a window."""
        laps = Laps()
        for _ in range(count + 1):
            video, start = (int(torch.randint(n, (1,), generator=self.generator)) for n in (len(self.videos), 16))
            frames = self.videos[video, start : start + 5, None].to(DEVICE).float() / 255
            sigma = float(torch.empty(1).uniform_(0.1, 2.0, generator=self.generator))
            low_res = torch.stack([degrade_frame(frame, sigma) for frame in frames])
            prediction = self.network(low_res[None])
            self.loss(prediction, frames[None, 2]).backward()
            laps.lap()
        return laps.seconds()

    def step(self) -> None:
        """One step of the optimiser, due after every 100 windows."""
        self.optimizer.step()


def plainly(network: nn.Module) -> nn.Module:
    """Return a copy of the network with PyTorch's own linear layer, its weights in PyTorch's own order."""
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    ours: Any = network.head
    network.head = nn.Linear(ours.in_features, ours.out_features)
    network.head.load_state_dict(ours.state_dict())
    return network


def torchvision_network(features: VGG19Features) -> nn.Sequential:
    """Torchvision's VGG-19 convolutions with these weights, frozen."""
    with torch.device("meta"):  # no time for weights that are replaced
        network = vgg19(weights=None).features
    for name, (weight, bias) in features.convolutions.items():
        network[LAYERS[name].position].weight = nn.Parameter(weight.contiguous())
        network[LAYERS[name].position].bias = nn.Parameter(bias)
    return network.requires_grad_(False)


class HookedLoss(nn.Module):
    """Eq. 5 by forward hooks on torchvision's network: the features of both images in lists, then the distances."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Sequential, layers: Sequence[str]) -> None:
        super().__init__()
        self.network, self.seen = network, list[Tensor]()
        relus = (network[LAYERS[layer].position + 1] for layer in layers)
        self.hooks = [relu.register_forward_hook(lambda *found: self.seen.append(found[2])) for relu in relus]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])

    def remove(self) -> None:
        """Give the network back without hooks."""
        for hook in self.hooks:
            hook.remove()

    def _features(self, images: Tensor) -> list[Tensor]:
        self.seen = []
        self.network((images.expand(-1, 3, -1, -1) - self.mean) / self.std)
        return self.seen

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W) each -> scalar."""
        x, y = self._features(prediction), self._features(target)
        return torch.stack([F.l1_loss(a, b) for a, b in zip(x, y, strict=True)]).sum()


class OneWindowASample(Dataset[tuple[Tensor, Tensor]]):
    """torchvision's ``MovingMNIST`` with a transform a sample, for a ``DataLoader`` with workers."""

    def __init__(self, root: str) -> None:
        self.videos = Subset(MovingMNIST(root), range(8000))
        self.resize = v2.Resize((32, 32), InterpolationMode.BICUBIC, antialias=True)
        self.blur = v2.GaussianBlur(3, (0.1, 2.0))

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = int(torch.randint(16, (1,)))
        frames = self.videos[index][start : start + 5].float() / 255
        return self.blur(self.resize(frames).clamp(0, 1)), frames[2]


def window_by_window(network: nn.Module, low_res: Tensor) -> Tensor:
    """(T, 1, 32, 32) -> (T - 4, 1, 64, 64), one window after the other."""
    with torch.no_grad():
        return torch.cat([network(low_res[None, i : i + 5]) for i in range(len(low_res) - 4)]).clamp(0, 1)
