"""The baseline without parameters."""

import torch.nn.functional as F
from torch import Tensor, nn


class Bicubic(nn.Module):
    """Bicubic upsampling of the middle frame, clamped to [0, 1].

    Keys' kernel with a = -0.75, as PyTorch and OpenCV have it; MATLAB's and Pillow's -0.5 is a weaker baseline here.

    Args:
        scale: factor between low-res and high-res.
    """

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, T, C, h, w) -> (B, C, h * scale, w * scale)."""
        middle = low_res[:, low_res.shape[1] // 2]
        return F.interpolate(middle, scale_factor=self.scale, mode="bicubic", align_corners=False).clamp(0, 1)
