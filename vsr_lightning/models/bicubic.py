"""The baseline without parameters."""

from torch import Tensor

from vsr_lightning.models.blocks import bicubic_upsample
from vsr_lightning.models.network import Network, Takes


class Bicubic(Network):
    """Bicubic upsampling of the center frame of a window, or of all frames of a clip, clamped to [0, 1].

    Keys' kernel with a = -0.75, as PyTorch and OpenCV have it; MATLAB's and Pillow's -0.5 is a weaker baseline here.

    Args:
        scale: factor between low-res and high-res.
        takes: ``window`` or ``clip``.
        channels: of a frame, as the networks have it that it is compared with; any number will do.
    """

    def __init__(self, scale: int = 2, takes: Takes = "window", channels: int = 1) -> None:
        super().__init__()
        self.scale, self.takes, self.channels = scale, takes, channels

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, T, C, h, w) -> (B, C, h * scale, w * scale), or (B, T, C, h * scale, w * scale) of clips."""
        frames = low_res[:, low_res.shape[1] // 2] if self.takes == "window" else low_res.flatten(0, 1)
        upsampled = bicubic_upsample(frames, self.scale).clamp(0, 1)
        return upsampled if self.takes == "window" else upsampled.unflatten(0, low_res.shape[:2])
