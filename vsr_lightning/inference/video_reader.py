"""Videos that are read while they are used, of any kind: files of FFmpeg's, folders of pictures, ``.npy``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
from PIL import UnidentifiedImageError

from vsr_lightning.inference.array_file import open_array
from vsr_lightning.inference.media_reader import MEDIA, open_media
from vsr_lightning.inference.picture_reader import open_pictures
from vsr_lightning.inference.video import Frame, Video


def open_video(path: Path, deinterlace: bool = True) -> Video:
    """Look at a video; it is gray, and opaque, where all of its frames are.

    Args:
        path: a file of :data:`MEDIA`, a ``.npy`` file as :func:`open_array` takes it, or a folder of pictures.
        deinterlace: whether interlaced frames are made whole ones.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: another kind of file, a damaged one, frames of different sizes, or none.
    """
    if str(path) == "-" or path.is_fifo():
        raise ValueError(f"input={path} can't be gone through twice: save it first, ffmpeg -i - -c copy video.mkv")
    if not path.exists():
        raise FileNotFoundError(f"input={path} is missing")
    with _readable(path):
        video = _open(path, deinterlace)
    return replace(video, frames=lambda bad: _checked(path, video, bad))


def read_video(path: Path) -> np.ndarray:
    """Return all frames of :func:`open_video` at once, (T, H, W) of a gray one or (T, H, W, C)."""
    frames = np.stack([frame.pixels for frame in open_video(path)])
    return frames[..., 0] if frames.shape[-1] == 1 else frames


def _open(path: Path, deinterlace: bool) -> Video:
    if path.is_dir():
        return open_pictures(path)
    if path.suffix.lower() == ".npy":
        return open_array(path)
    if path.suffix.lower() in MEDIA:
        return open_media(path, deinterlace)
    raise ValueError(f"input={path} is of no known kind: give .npy, {', '.join(MEDIA)} or a folder of pictures")


def _checked(path: Path, video: Video, bad: list[str]) -> Iterator[Frame]:
    with _readable(path):
        yield from video.frames(bad)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, IndexError, UnidentifiedImageError, av.FFmpegError) as error:
        raise ValueError(f"input={path} can't be read: it is damaged, or not what its name says ({error})") from error
