"""A whole clip at a time, without recurrence: residual blocks that exchange channels with the frames beside them."""

from typing import Any

import torch
from torch import Tensor, nn

from vsr_lightning.models.blocks import FrameConv, ResidualBlock, bicubic_upsample, check_fit, upsampler
from vsr_lightning.models.network import Network


class TemporalShift(Network):
    """Residual blocks on each frame, each of which first takes channels of the frame before and of the frame after.

    Shifting channels in time (Lin et al. 2019, TSM) costs nothing, and stacked it lets a frame see as many frames to
    each side as there are blocks; Li et al. 2023 restore videos that way. All frames are computed at once, so that the
    network is quick where a recurrent one waits. Any length and frame size; the convolutions between two shifts can
    follow motion of a few pixels from one frame to the next.

    Args:
        width: channels.
        blocks: how many, two convolutions each.
        share: of the channels that each of the two neighbors gives, up to a half.
        scale: factor between low-res and high-res, 2 or 4 (or ValueError).
        channels: of a frame, 1 is gray, 3 RGB.
    """

    takes = "clip"

    def __init__(
        self, width: int = 64, blocks: int = 12, share: float = 0.25, scale: int = 2, channels: int = 1
    ) -> None:
        super().__init__()
        self.scale, self.channels, self.shifted = scale, channels, int(width * share)
        if self.shifted < 1 or share > 0.5:
            raise ValueError(f"model.share={share} of model.width={width} channels: choose more than 0, at most 0.5")
        self.first = FrameConv(channels, width)
        self.blocks = nn.ModuleList(ResidualBlock(width).layers for _ in range(blocks))
        self.up = upsampler(width, channels, scale)

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, T, channels, h, w) -> (B, T, channels, H, W); not bounded, the scores clamp."""
        check_fit(low_res, self.channels)
        frames = low_res.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        first = features = self.first(frames)
        for layers in self.blocks:
            shifted = _Shift.apply(features.unflatten(0, low_res.shape[:2]), self.shifted).flatten(0, 1)
            features = features + layers(shifted)
        return self.up(first + features).unflatten(0, low_res.shape[:2]) + self.skip(low_res)

    def skip(self, low_res: Tensor) -> Tensor:
        return bicubic_upsample(low_res.flatten(0, 1), self.scale).unflatten(0, low_res.shape[:2])


class _Shift(torch.autograd.Function):
    """``apply(clips, count)``: (B, T, W, h, w) as they are, but for two parts of ``count`` channels.

    The first come from the frame before, the next from the frame after, and are 0 where there is none. The gradient
    goes back the same way; left to autograd's slices, this took as long as the convolutions.
    """

    @staticmethod
    def forward(ctx: Any, clips: Tensor, count: int) -> Tensor:
        ctx.count = count
        return _shifted(clips, slice(count), slice(count, 2 * count))

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        return _shifted(grad_output, slice(ctx.count, 2 * ctx.count), slice(ctx.count)), None


def _shifted(clips: Tensor, from_before: slice, from_after: slice) -> Tensor:
    shifted = clips.clone()
    shifted[:, 1:, from_before], shifted[:, 0, from_before] = clips[:, :-1, from_before], 0
    shifted[:, :-1, from_after], shifted[:, -1, from_after] = clips[:, 1:, from_after], 0
    return shifted
