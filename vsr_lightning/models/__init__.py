"""Networks; none knows of a loss. :class:`Network` says what one of your own takes, returns and declares."""

from vsr_lightning.models.bicubic import Bicubic
from vsr_lightning.models.deformable import Deformable
from vsr_lightning.models.frame_fusion import FrameFusion
from vsr_lightning.models.network import Network
from vsr_lightning.models.recurrent import Recurrent
from vsr_lightning.models.residual_fusion import ResidualFusion
from vsr_lightning.models.temporal_shift import TemporalShift
from vsr_lightning.models.truth import Truth

__all__ = ["Bicubic", "Deformable", "FrameFusion", "Network", "Recurrent", "ResidualFusion", "TemporalShift", "Truth"]
