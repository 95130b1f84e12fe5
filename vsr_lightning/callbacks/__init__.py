"""Lightning callbacks: progress, checkpoints, the scores of each frame, and the pictures in TensorBoard."""

from vsr_lightning.callbacks.average_weights import AverageWeights
from vsr_lightning.callbacks.frame_scores import FrameScores
from vsr_lightning.callbacks.idle_network import WarnOfIdleNetwork
from vsr_lightning.callbacks.last_checkpoint import LastCheckpoint
from vsr_lightning.callbacks.progress import EpochSummary, ProgressBar
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN
from vsr_lightning.callbacks.tensorboard_images import TensorBoardImages

__all__ = [
    "AverageWeights",
    "EpochSummary",
    "FrameScores",
    "LastCheckpoint",
    "ProgressBar",
    "StopOnNaN",
    "TensorBoardImages",
    "WarnOfIdleNetwork",
]
