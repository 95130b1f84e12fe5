"""Layers that several networks share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB, as networks trained on it take it


def check_fit(
    low_res: Tensor, channels: int | None, frames: int | None = None, size: tuple[int, int] | None = None
) -> None:
    """Raise ValueError unless (B, T, C, h, w) is what a network was made for; None stands for any."""
    names = ("model.frames", "model.channels", "model.low_res", "model.low_res")
    wanted = zip(names, (frames, channels, *(size or (None, None))), low_res.shape[1:], strict=True)
    if wrong := [f"{name}={mine}, data gives {theirs}" for name, mine, theirs in wanted if mine not in (None, theirs)]:
        raise ValueError(f"the network does not fit the data: {'; '.join(dict.fromkeys(wrong))}")


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """(B, inputs, h, w) -> (B, outputs, h, w)."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class FrameConv(nn.Conv2d):
    """(B, frames + features, h, w) -> (B, outputs, h, w): where frames come in, which are seen in float32.

    Under autocast to bfloat16 a plain convolution would round the frames themselves to eight bits, and what a network
    restores from them would have that noise several times over. The features after them are taken as autocast has it.

    Args:
        frames: channels of the frames, the first of the input.
        outputs: channels.
        features: further channels.
    """

    def __init__(self, frames: int, outputs: int, features: int = 0) -> None:
        super().__init__(frames + features, outputs, 3, padding=1)
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        if not torch.is_autocast_enabled(device):
            return super().forward(x)
        with torch.autocast(device, enabled=False):
            seen = F.conv2d(x[:, : self.frames].float(), self.weight[:, : self.frames], self.bias, padding=1)
        if x.shape[1] > self.frames:
            seen = seen + F.conv2d(x[:, self.frames :], self.weight[:, self.frames :], padding=1)
        return seen.to(torch.get_autocast_dtype(device))


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, added to what came in; ``width`` channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv3x3(width, width), nn.ReLU(inplace=True), conv3x3(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> the same."""
        return x + self.layers(x)


def upsampler(width: int, channels: int, scale: int, slope: float = 0.1) -> nn.Sequential:
    """(B, width, h, w) -> (B, channels, scale h, scale w), near zero at first; ValueError unless scale is 2 or 4.

    Between the two stages of scale 4 all that the network found goes through one activation. Its negative ``slope``
    should not be 0, as in runs from before there was one: at a high learning rate a ReLU there can lose all its units
    at once, and with them every gradient.
    """
    check_scale(scale)
    doubling = [conv3x3(width, 4 * width), nn.PixelShuffle(2), nn.LeakyReLU(slope)] if scale == 4 else []
    return nn.Sequential(*doubling, init_near_zero(conv3x3(width, 4 * channels)), nn.PixelShuffle(2))


def check_scale(scale: int) -> None:
    """Raise ValueError unless a network can upsample by factors of two."""
    if scale not in (2, 4):
        raise ValueError(f"data.degradation.scale={scale}: choose 2 or 4 for this network")


def init_near_zero(layer: nn.Module) -> nn.Module:
    """Return a layer with a hundredth of its weights: what it adds to is hardly changed at first."""
    for parameter in layer.parameters():
        parameter.data.mul_(0.01)
    return layer


def bicubic_upsample(frames: Tensor, scale: int) -> Tensor:
    """(B, C, h, w) -> (B, C, scale h, scale w), bicubic."""
    return F.interpolate(frames, scale_factor=scale, mode="bicubic", align_corners=False)
