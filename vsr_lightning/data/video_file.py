"""Your own videos, from one file."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vsr_lightning.data.array_videos import VideoWindows
from vsr_lightning.data.videos import Videos, checksum
from vsr_lightning.degradation import Degradation
from vsr_lightning.utils.checks import check_number


class VideoFile(VideoWindows):
    """Videos of one size and length: the first ones train, the last ones test.

    Args:
        path: a ``.npy`` file, (N, T, H, W) or in RGB (N, T, H, W, 3), uint8; opened memory-mapped.
        test_videos: how many of the last videos to test on.
        train_videos: how many of the first to train on; None is all others.
        degradation, rest: see :class:`VideoWindows`.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it is no such file, or a count is out of range.
    """

    def __init__(
        self, degradation: Degradation, path: str | Path, test_videos: int, train_videos: int | None = None, **rest: Any
    ) -> None:
        frames = open_videos(Path(path))
        videos, length = frames.shape[:2]
        check_number("data.test_videos", test_videos, 1, videos - 1)
        train_videos = videos - test_videos if train_videos is None else train_videos
        check_number("data.train_videos", train_videos, 1, videos - test_videos)
        load = partial(_identified, frames, Path(path))
        test = range(videos - test_videos, videos)
        super().__init__(load, length, range(train_videos), test, degradation, **rest)


def open_videos(path: Path) -> np.ndarray:
    """Open a file without reading it, as :class:`VideoFile` describes it."""
    expected = "a .npy file of uint8, (videos, frames, height, width), or in RGB (videos, frames, height, width, 3)"
    if not path.is_file():
        raise FileNotFoundError(f"data.path={path} is missing: give {expected}")
    try:
        frames: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"data.path={path} can't be read ({error}): give {expected}") from error
    if frames.dtype != np.uint8 or not (frames.ndim == 4 or (frames.ndim == 5 and frames.shape[-1] == 3)):
        raise ValueError(f"data.path={path} is {frames.shape} of {frames.dtype}: give {expected}")
    return frames


def _identified(frames: np.ndarray, path: Path) -> Videos:
    md5 = checksum(path)
    description = f"{path}, {len(frames)} videos of {frames.shape[1]} frames"
    return Videos.of_file(frames, f"{path.name} {md5[:8]}", description, md5, path)
