"""Neighbors aligned to the center frame by deformable convolution, then fused."""

import torch
from torch import Tensor, nn

from vsr_lightning.models.blocks import (
    FrameConv,
    ResidualBlock,
    bicubic_upsample,
    check_fit,
    conv3x3,
    init_near_zero,
    upsampler,
)
from vsr_lightning.models.network import Network

KERNEL, PADDING = 3, 1


class Deformable(Network):
    """Each frame's features are sampled where they match the center frame's, then all are fused.

    Alignment by modulated deformable convolution (Dai et al. 2017, Zhu et al. 2019) with offsets from the pair of
    frames, as in TDAN (Tian et al. 2020) at one scale. Any frame size.

    Args:
        width: channels, a multiple of ``groups`` (or ValueError).
        features: residual blocks on each frame by itself.
        blocks: residual blocks after fusion.
        groups: of channels that move together.
        frames: of a window.
        scale: factor between low-res and high-res, 2 or 4 (or ValueError).
        channels: of a frame, 1 is gray, 3 RGB.
        slope: see :func:`vsr_lightning.models.blocks.upsampler`.
    """

    def __init__(
        self,
        width: int = 48,
        features: int = 1,
        blocks: int = 4,
        groups: int = 4,
        frames: int = 5,
        scale: int = 2,
        channels: int = 1,
        slope: float = 0.1,
    ) -> None:
        super().__init__()
        if width % groups:
            raise ValueError(f"model.width={width} is no multiple of model.groups={groups}")
        self.scale, self.frames, self.channels, self.samples = scale, frames, channels, groups * KERNEL**2
        residual = (ResidualBlock(width) for _ in range(features))
        self.extract = nn.Sequential(FrameConv(channels, width), nn.ReLU(), *residual)
        hidden = [conv3x3(2 * width, width), nn.ReLU(), conv3x3(width, width), nn.ReLU()]
        self.offsets = nn.Sequential(*hidden, init_near_zero(conv3x3(width, 3 * self.samples)))
        self.align = nn.Conv2d(width, width, KERNEL, padding=PADDING)
        self.fusion = nn.Conv2d(frames * width, width, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.up = upsampler(width, channels, scale, slope)

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, frames, channels, h, w) -> (B, channels, H, W); not bounded, the scores clamp."""
        check_fit(low_res, self.channels, self.frames)
        return self.fuse(self.encode(low_res.flatten(0, 1)).unflatten(0, low_res.shape[:2]))

    def skip(self, low_res: Tensor) -> Tensor:
        return bicubic_upsample(low_res[:, low_res.shape[1] // 2], self.scale)

    def encode(self, frames: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, channels + width, h, w): each frame and its features."""
        return torch.cat([frames, self.extract(frames)], 1)

    def fuse(self, encoded: Tensor) -> Tensor:
        """(B, frames, channels + width, h, w) -> (B, channels, H, W)."""
        center = encoded[:, encoded.shape[1] // 2]
        features = encoded[:, :, self.channels :]
        pairs = torch.cat([features, center[:, None, self.channels :].expand_as(features)], 2).flatten(0, 1)
        aligned = self._aligned(features.flatten(0, 1), self.offsets(pairs))
        fused = self.fusion(torch.relu(aligned).unflatten(0, features.shape[:2]).flatten(1, 2))
        return self.up(fused + self.blocks(fused)) + bicubic_upsample(center[:, : self.channels], self.scale)

    def _aligned(self, features: Tensor, offsets_and_mask: Tensor) -> Tensor:
        from torchvision.ops import deform_conv2d  # here, as its import takes seconds and 150 MB

        offsets, weights = offsets_and_mask.float().split([2 * self.samples, self.samples], 1)
        layer, mask = self.align, 2 * weights.sigmoid()
        with torch.autocast(features.device.type, enabled=False):  # half a pixel is lost in half precision
            return deform_conv2d(features.float(), offsets, layer.weight, layer.bias, 1, PADDING, 1, mask)
