"""Networks: (B, T, C, h, w) low-res windows in, (B, C, H, W) middle frames out; none knows of a loss."""

from vsr_lightning.models.bicubic import Bicubic
from vsr_lightning.models.frame_fusion import FrameFusion
from vsr_lightning.models.residual_fusion import ResidualFusion

__all__ = ["Bicubic", "FrameFusion", "ResidualFusion"]
