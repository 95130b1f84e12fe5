"""The data of the paper: 8,000 training and 2,000 test videos."""

from functools import partial
from pathlib import Path
from typing import Any

from vsr_lightning.data.array_videos import VideoWindows
from vsr_lightning.data.moving_mnist.generated import FRAMES, TRAIN, VIDEOS
from vsr_lightning.data.moving_mnist.source import load_videos
from vsr_lightning.degradation import Degradation
from vsr_lightning.utils.checks import check_number


class MovingMNIST(VideoWindows):
    """Moving MNIST: videos 0 to 7,999 train, 8,000 to 9,999 test.

    Args:
        source, root, download, generator_seed, cache: see :func:`vsr_lightning.data.moving_mnist.source.load_videos`.
        train_videos, test_videos: how many of the 8,000, and of the 2,000, to use.
        degradation, options: see :class:`VideoWindows`.

    Raises:
        ValueError: a count that is out of range.
    """

    def __init__(
        self,
        degradation: Degradation,
        source: str = "auto",
        root: str | Path = "data",
        download: bool = True,
        generator_seed: int = 0,
        cache: str | Path | None = None,
        train_videos: int = TRAIN,
        test_videos: int = VIDEOS - TRAIN,
        **options: Any,
    ) -> None:
        check_number("data.train_videos", train_videos, 1, TRAIN)
        check_number("data.test_videos", test_videos, 1, VIDEOS - TRAIN)
        train, test = range(train_videos), range(TRAIN, TRAIN + test_videos)
        load = partial(load_videos, source, root, (train, test), generator_seed, download, cache)
        super().__init__(load, FRAMES, train, test, degradation, **options)
