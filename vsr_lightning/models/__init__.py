"""Networks: (B, T, C, h, w) low-res frames in, (B, C, H, W) middle frames out, or all (B, T, C, H, W).

None knows of a loss. Those that give all frames are trained with ``data.targets=all``.
"""

from vsr_lightning.models.bicubic import Bicubic
from vsr_lightning.models.deformable import Deformable
from vsr_lightning.models.frame_fusion import FrameFusion
from vsr_lightning.models.recurrent import Recurrent
from vsr_lightning.models.residual_fusion import ResidualFusion

__all__ = ["Bicubic", "Deformable", "FrameFusion", "Recurrent", "ResidualFusion"]
