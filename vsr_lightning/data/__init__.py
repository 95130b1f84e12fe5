"""Videos, windows of five frames, and the data module that serves them."""

from vsr_lightning.data.digit_frames import DigitFrames
from vsr_lightning.data.frame_folders import FrameFolders
from vsr_lightning.data.moving_mnist import MovingMNIST
from vsr_lightning.data.video_file import VideoFile
from vsr_lightning.data.video_windows import VideoWindows

__all__ = ["DigitFrames", "FrameFolders", "MovingMNIST", "VideoFile", "VideoWindows"]
