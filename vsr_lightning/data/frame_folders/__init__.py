"""Real video from folders of frames."""

from vsr_lightning.data.frame_folders.datamodule import FrameFolders

__all__ = ["FrameFolders"]
