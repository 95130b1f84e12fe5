"""Five frames stacked, residual blocks, pixel shuffle: as simple as networks that the field would use get."""

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualFusion(nn.Module):
    """Early fusion: the window's frames as channels, residual blocks at low resolution, pixel shuffle, a bicubic skip.

    Blocks without batch normalisation and upsampling by sub-pixel convolution after EDSR (Lim et al. 2017). Any frame
    size; the network predicts what bicubic upsampling of the middle frame lacks, and starts close to that.

    Args:
        width: channels of the blocks.
        blocks: how many, two convolutions each.
        frames: frames a window.
        scale: factor between low-res and high-res, 2 or 4.
        channels: of a frame, 1 is grey, 3 RGB.

    Raises:
        ValueError: another scale.
    """

    def __init__(self, width: int = 64, blocks: int = 6, frames: int = 5, scale: int = 2, channels: int = 1) -> None:
        super().__init__()
        if scale not in (2, 4):
            raise ValueError(f"data.degradation.scale={scale}: choose 2 or 4 for this network")
        self.scale, self.frames, self.channels = scale, frames, channels
        self.first = nn.Conv2d(frames * channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.up = upsampler(width, channels, scale)

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, frames, channels, h, w) -> (B, channels, H, W); not bounded, the scores clamp."""
        check_fit(low_res, self.channels, self.frames)
        features = self.first(low_res.flatten(1, 2))
        missing: Tensor = self.up(features + self.blocks(features))
        return missing + upsampled(low_res[:, low_res.shape[1] // 2], self.scale)


def check_fit(low_res: Tensor, channels: int, frames: int | None = None) -> None:
    """Raise ValueError unless (B, T, C, h, w) has the channels, and the frames, that a network was made for."""
    wanted = {
        "model.frames": (frames or low_res.shape[1], low_res.shape[1]),
        "model.channels": (channels, low_res.shape[2]),
    }
    if wrong := [f"{name}={mine}, data gives {theirs}" for name, (mine, theirs) in wanted.items() if mine != theirs]:
        raise ValueError(f"the network does not fit the data: {'; '.join(wrong)}")


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, added to what came in.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> the same."""
        return x + self.layers(x)


def upsampler(width: int, channels: int, scale: int) -> nn.Sequential:
    """(B, width, h, w) -> (B, channels, scale h, scale w), a factor of two at a time; close to zero at first."""
    layers: list[nn.Module] = []
    for _ in range(scale // 2 - 1):
        layers += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.ReLU()]
    last = as_small(nn.Conv2d(width, 4 * channels, 3, padding=1))
    return nn.Sequential(*layers, last, nn.PixelShuffle(2))


def as_small(layer: nn.Module) -> nn.Module:
    """Return a layer with a hundredth of its weights: what it adds to is hardly changed at first."""
    for parameter in layer.parameters():
        parameter.data.mul_(0.01)
    return layer


def upsampled(frames: Tensor, scale: int) -> Tensor:
    """(B, C, h, w) -> (B, C, scale h, scale w), bicubic."""
    return F.interpolate(frames, scale_factor=scale, mode="bicubic", align_corners=False)
