"""A small residual network that reads the digits of a frame of any size."""

import torch.nn.functional as F
from torch import Tensor, nn

from vsr_lightning.feature_network.recognition import DIGITS, DigitNetwork

CHANNELS = (24, 40, 64, 80)


class Reader(DigitNetwork):
    """Four strided or residual stages (He et al. 2016), the highest value of each channel, and a linear layer.

    The highest value, unlike the mean, is the same however much black surrounds the digits.

    Args:
        width: factor on the 24 to 80 channels, from one channel, 1/24, to 4 (else ValueError).
    """

    name = "reader"
    purpose = "read the two handwritten digits of a frame, and so to judge whether others are legible"

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        if not isinstance(width, int | float) or not 1 / 24 <= width <= 4:
            raise ValueError(f"width={width} is out of range: choose 0.042 (one channel) to 4")
        first, *others = self.channels = [round(width * channels) for channels in CHANNELS]
        self.stem = nn.Sequential(nn.Conv2d(1, first, 5, 2, 2, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        stages = zip(self.channels, [*others, others[-1]], (2, 2, 1), strict=False)
        self.blocks = nn.Sequential(*(_Residual(*stage) for stage in stages))
        self.digits = nn.Linear(others[-1], DIGITS)

    @property
    def structure(self) -> str:
        return f"Residual network with {', '.join(map(str, self.channels))} channels"

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1], H and W of at least 28 -> logits of the digits, (B, 10)."""
        return self.digits(self.blocks(self.stem(images)).amax((2, 3)))


class _Residual(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.skip = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))
