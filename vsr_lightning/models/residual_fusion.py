"""Five frames stacked, residual blocks, pixel shuffle: as simple as networks that the field would use get."""

from torch import Tensor, nn

from vsr_lightning.models.blocks import FrameConv, ResidualBlock, bicubic_upsample, check_fit, upsampler
from vsr_lightning.models.network import Network


class ResidualFusion(Network):
    """Early fusion: the window's frames as channels, residual blocks at low resolution, pixel shuffle, a bicubic skip.

    Blocks without batch normalization and upsampling by sub-pixel convolution after EDSR (Lim et al. 2017). Any frame
    size; the network predicts what bicubic upsampling of the center frame lacks, and starts close to that.

    Args:
        width: channels of the blocks.
        blocks: how many, two convolutions each.
        frames: of a window.
        scale: factor between low-res and high-res, 2 or 4 (or ValueError).
        channels: of a frame, 1 is gray, 3 RGB.
        slope: see :func:`vsr_lightning.models.blocks.upsampler`.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 6,
        frames: int = 5,
        scale: int = 2,
        channels: int = 1,
        slope: float = 0.1,
    ) -> None:
        super().__init__()
        self.scale, self.frames, self.channels = scale, frames, channels
        self.first = FrameConv(frames * channels, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.up = upsampler(width, channels, scale, slope)

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, frames, channels, h, w) -> (B, channels, H, W); not bounded, the scores clamp."""
        check_fit(low_res, self.channels, self.frames)
        features = self.first(low_res.flatten(1, 2))
        return self.up(features + self.blocks(features)) + self.skip(low_res)

    def skip(self, low_res: Tensor) -> Tensor:
        return bicubic_upsample(low_res[:, low_res.shape[1] // 2], self.scale)
