"""A whole clip at a time: features carried backward and forward through it, aligned by optical flow."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr_lightning.models.basicvsr_weights import read_weights
from vsr_lightning.models.blocks import FrameConv, ResidualBlock, check_fit, check_scale, conv3x3, init_near_zero
from vsr_lightning.models.network import Network
from vsr_lightning.models.spynet import SPyNet, warp


class Recurrent(Network):
    """Bidirectional propagation with flow alignment, BasicVSR (Chan et al. 2021): each frame sees the whole clip.

    Any length and frame size. Backward through the clip, then forward, the features of the frame before are warped
    onto the next one and join it in residual blocks; both are then upsampled together by pixel shuffle and added to
    bilinear upsampling of the frame. The flow learns with the rest.

    Args:
        width: channels.
        blocks: residual blocks each way.
        scale: factor between low-res and high-res, 2 or 4 (or ValueError).
        channels: of a frame, 1 is gray, 3 RGB.
        coupled: whether the way forward sees what the way back found, as in the same paper's IconVSR; then its features
            alone are upsampled.
        flow_levels: of the pyramid in which flow is estimated.
        flow_width: channels of its convolutions, at most twice as many.
        flow_kernel: size of its convolutions, odd.
        weights: a published checkpoint of BasicVSR to start from; see
            :func:`vsr_lightning.models.basicvsr_weights.read_weights`, also for its errors.
    """

    takes = "clip"

    def __init__(
        self,
        width: int = 32,
        blocks: int = 4,
        scale: int = 2,
        channels: int = 1,
        coupled: bool = True,
        flow_levels: int = 3,
        flow_width: int = 16,
        flow_kernel: int = 3,
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_scale(scale)
        self.width, self.scale, self.channels, self.coupled = width, scale, channels, coupled
        self.flow = SPyNet(channels, flow_levels, flow_width, flow_kernel)
        self.backward_trunk = trunk(channels, width, width, blocks)
        self.forward_trunk = trunk(channels, (1 + coupled) * width, width, blocks)
        self.fusion = nn.Identity() if coupled else nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.LeakyReLU(0.1))
        layers: list[nn.Module] = []
        for _ in range(scale // 2):
            layers += [conv3x3(width, 4 * width), nn.PixelShuffle(2), nn.LeakyReLU(0.1)]
        last = init_near_zero(conv3x3(width, channels))
        self.up = nn.Sequential(*layers, conv3x3(width, width), nn.LeakyReLU(0.1), last)
        if weights is not None:
            read_weights(self, Path(weights))

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, T, channels, h, w) -> (B, T, channels, H, W); not bounded, the scores clamp."""
        check_fit(low_res, self.channels)
        frames = list(low_res.unbind(1))
        to_next, to_last = self.flow.along(low_res)
        backward_trunk = self._propagate(self.backward_trunk, frames[::-1], to_next[::-1])[::-1]
        seen = _joined(frames, backward_trunk) if self.coupled else frames
        forward_trunk = self._propagate(self.forward_trunk, seen, to_last)
        both = forward_trunk if self.coupled else _joined(backward_trunk, forward_trunk)
        # all frames at once where there is time to gain, one at a time where only memory
        if torch.is_grad_enabled():
            features = torch.stack(both, 1).flatten(0, 1)
            return self._upsample(features, low_res.flatten(0, 1)).unflatten(0, low_res.shape[:2])
        return torch.stack([self._upsample(*pair) for pair in zip(both, frames, strict=True)], 1)

    def skip(self, low_res: Tensor) -> Tensor:
        return self._base(low_res.flatten(0, 1)).unflatten(0, low_res.shape[:2])

    def _base(self, frames: Tensor) -> Tensor:
        return F.interpolate(frames, scale_factor=self.scale, mode="bilinear", align_corners=False)

    def _upsample(self, features: Tensor, frames: Tensor) -> Tensor:
        return self._base(frames) + self.up(self.fusion(features.contiguous(memory_format=torch.channels_last)))

    def _propagate(self, blocks: nn.Module, frames: Sequence[Tensor], flows: Sequence[Tensor]) -> list[Tensor]:
        """Return each frame's features, in the order given; ``flows`` lead from each frame after the first one back."""
        features = frames[0].new_zeros(len(frames[0]), self.width, *frames[0].shape[-2:])
        found = []
        for number, frame in enumerate(frames):
            if number:
                features = warp(features, flows[number - 1])
            features = blocks(torch.cat([frame, features], 1).contiguous(memory_format=torch.channels_last))
            found.append(features)
        return found


def trunk(channels: int, features: int, width: int, blocks: int) -> nn.Sequential:
    """(B, channels + features, h, w) -> (B, width, h, w): a convolution, then residual blocks."""
    residual = (ResidualBlock(width) for _ in range(blocks))
    return nn.Sequential(FrameConv(channels, width, features), nn.LeakyReLU(0.1), *residual)


def _joined(ones: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    return [torch.cat(pair, 1) for pair in zip(ones, others, strict=True)]
