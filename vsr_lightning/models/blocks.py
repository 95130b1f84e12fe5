"""Layers that several networks share."""

from torch import Tensor, nn
from torch.nn import functional as F


def check_fit(
    low_res: Tensor, channels: int | None, frames: int | None = None, size: tuple[int, int] | None = None
) -> None:
    """Raise ValueError unless (B, T, C, h, w) is what a network was made for; None stands for any."""
    names = ("model.frames", "model.channels", "model.low_res", "model.low_res")
    wanted = zip(names, (frames, channels, *(size or (None, None))), low_res.shape[1:], strict=True)
    if wrong := [f"{name}={mine}, data gives {theirs}" for name, mine, theirs in wanted if mine not in (None, theirs)]:
        raise ValueError(f"the network does not fit the data: {'; '.join(dict.fromkeys(wrong))}")


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
    last = init_near_zero(nn.Conv2d(width, 4 * channels, 3, padding=1))
    return nn.Sequential(*layers, last, nn.PixelShuffle(2))


def init_near_zero(layer: nn.Module) -> nn.Module:
    """Return a layer with a hundredth of its weights: what it adds to is hardly changed at first."""
    for parameter in layer.parameters():
        parameter.data.mul_(0.01)
    return layer


def bicubic_upsample(frames: Tensor, scale: int) -> Tensor:
    """(B, C, h, w) -> (B, C, scale h, scale w), bicubic."""
    return F.interpolate(frames, scale_factor=scale, mode="bicubic", align_corners=False)
