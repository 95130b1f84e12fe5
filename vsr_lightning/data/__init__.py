"""Videos, and the data modules that serve windows or clips of them."""

from vsr_lightning.data.array_videos import VideoWindows
from vsr_lightning.data.moving_mnist.datamodule import MovingMNIST
from vsr_lightning.data.real_video.frame_folders import FrameFolders
from vsr_lightning.data.real_video.video_folder import VideoFolder
from vsr_lightning.data.video_file import VideoFile
from vsr_lightning.data.videos import Videos

__all__ = ["FrameFolders", "MovingMNIST", "VideoFile", "VideoFolder", "VideoWindows", "Videos"]
