"""What acts around the epochs: progress, checkpoints, scores of frames, and the pictures in TensorBoard."""

from vsr_lightning.callbacks.dashboard import Dashboard
from vsr_lightning.callbacks.frame_scores import FrameTable
from vsr_lightning.callbacks.last_checkpoint import LastCheckpoint
from vsr_lightning.callbacks.progress import EpochLine, ProgressBar
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN

__all__ = ["Dashboard", "EpochLine", "FrameTable", "LastCheckpoint", "ProgressBar", "StopOnNaN"]
