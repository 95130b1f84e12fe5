"""Networks that tell predicted frames from true ones: (B, C, H, W) in [0, 1] -> logits, higher for true ones."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    """Convolve with a largest singular value of one (Miyato et al. 2018), which keeps the gradients in bounds."""
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if kernel % 2 else 1))


class PatchDiscriminator(nn.Module):
    """One logit per patch: convolutions of 4x4 that halve the frame three times (Isola et al. 2017, pix2pix).

    Args:
        channels: of a frame.
        width: channels of the first convolution; the next ones have two, four and eight times as many.
    """

    def __init__(self, channels: int = 1, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, width, 2 * width, 4 * width)):
            layers += [_convolution(before, after, 4, 2), nn.LeakyReLU(SLOPE)]
        layers += [_convolution(4 * width, 8 * width, 3), nn.LeakyReLU(SLOPE), _convolution(8 * width, 1, 3)]
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, 1, H // 8, W // 8); at least 8 pixels a side."""
        logits: Tensor = self.layers(frames)
        return logits


class UNetDiscriminator(nn.Module):
    """One logit per pixel, from a U-Net (Wang et al. 2021, Real-ESRGAN): the whole and every detail are judged.

    Args:
        channels: of a frame.
        width: channels of the first convolution.
    """

    def __init__(self, channels: int = 1, width: int = 64) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList(_convolution(before, after, 4, 2) for before, after in pairwise(widths))
        self.up = nn.ModuleList(_convolution(after, before, 3) for before, after in reversed([*pairwise(widths)]))
        self.last = nn.Sequential(
            _convolution(width, width, 3), nn.LeakyReLU(SLOPE), _convolution(width, width, 3), nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, frames: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, 1, H, W); at least 8 pixels a side."""
        skips = [F.leaky_relu(self.first(frames), SLOPE)]
        for layer in self.down:
            skips.append(F.leaky_relu(layer(skips[-1]), SLOPE))
        x = skips.pop()
        for layer in self.up:
            skip = skips.pop()
            x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = F.leaky_relu(layer(x), SLOPE) + skip
        logits: Tensor = self.last(x)
        return logits
