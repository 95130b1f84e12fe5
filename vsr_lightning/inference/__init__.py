"""Videos in and out, one frame at a time, with all that belongs to them beside their pixels."""

from vsr_lightning.inference.media_writer import Encoding
from vsr_lightning.inference.sound import Sound
from vsr_lightning.inference.video import Format, Frame, Video
from vsr_lightning.inference.video_reader import open_video, read_video
from vsr_lightning.inference.video_writer import check_output, output_format, write_video

__all__ = [
    "Encoding",
    "Format",
    "Frame",
    "Sound",
    "Video",
    "check_output",
    "open_video",
    "output_format",
    "read_video",
    "write_video",
]
