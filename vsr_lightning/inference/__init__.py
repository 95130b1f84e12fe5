"""Gray and color videos in and out, one frame at a time: ``.npy``, a folder of PNG frames, GIF and MP4."""

from vsr_lightning.inference.video_reader import Video, open_video, read_video
from vsr_lightning.inference.video_writer import check_output, write_video

__all__ = ["Video", "check_output", "open_video", "read_video", "write_video"]
