"""What data modules of videos have in common, wherever the frames come from."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
from torch.utils.data import DataLoader, Dataset

from vsr_lightning.data.loader import HighResBatch, plan_loader
from vsr_lightning.degradation import Batch, Degradation, to_unit_range
from vsr_lightning.utils.checks import check_number

TARGETS = ("middle", "all")


class Identity(Protocol):
    """What a set of videos is: a name short enough for tables, a description in a sentence, and a checksum."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def checksum(self) -> str: ...
    def check_unchanged(self) -> None:
        """Raise ValueError if somebody has written to the files in use."""


class VideoData(pl.LightningDataModule):
    """A split, what to predict of a window, and degradation on the device.

    Batches are ``Batch(low_res, target)``: (B, frames, C, h, w) and (B, C, H, W), float in [0, 1]; under
    ``targets=all`` a target is (B, frames, C, H, W). Tests take the frames of a video one after the other, under one
    blur.

    Attributes:
        clip: which of a video's frames are used: the first, and one past the last.
        scored: those of them that a test scores.

    Args:
        train_videos: numbers of the videos to train on.
        test_videos: numbers of the videos to test on; nothing is selected on them.
        degradation: what makes a low-res window of a sharp one.
        val_videos: how many of the training videos to hold out and validate on; 0 validates on the test videos.
        seed: draws the training windows, together with the epoch and the video.
        frames: frames a window.
        targets: which of them to predict: the ``middle`` one, of an odd number, or ``all``.
        batch_size: windows a step, over all devices.
        num_workers: loader processes.

    Raises:
        ValueError: a number that is out of range.
    """

    frame_range: tuple[int, int]
    scored: range

    def __init__(
        self,
        train_videos: Sequence[int],
        test_videos: Sequence[int],
        degradation: Degradation,
        val_videos: int = 0,
        seed: int = 0,
        frames: int = 5,
        targets: str = "middle",
        batch_size: int = 20,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        check_number("data.val_videos", val_videos, 0, len(train_videos) - 1)
        check_number("data.batch_size", batch_size, 1)
        check_number("data.num_workers", num_workers, 0)
        check_number("data.frames", frames, 1)
        check_number("data.seed", seed, 0)
        if targets not in TARGETS:
            raise ValueError(f"data.targets={targets} is unknown: choose one of {', '.join(TARGETS)}")
        if targets == "middle" and frames % 2 == 0:
            raise ValueError(f"data.frames={frames} has no middle frame: choose an odd number")
        self.degradation, self.seed, self.frames, self.targets = degradation, seed, frames, targets
        self.batch_size, self.num_workers = batch_size, num_workers
        kept = len(train_videos) - val_videos
        self.train_videos, self.test_videos = train_videos[:kept], test_videos
        self.val_videos = train_videos[kept:] if val_videos else test_videos

    @property
    def videos(self) -> Identity:
        """The videos' identity."""
        raise NotImplementedError

    def test_windows(self, videos: int) -> Batch:
        """Return the first test videos as they are tested, one after the other, to look at."""
        raise NotImplementedError

    def frames_of(self, plan: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return video and number of each frame that a part of the test's plan has scores of, in their order."""
        raise NotImplementedError

    def in_a_row(self, frames: int) -> int:
        """Return how many of the frames of a test batch, which has so many, follow one another in a video."""
        raise NotImplementedError

    def on_after_batch_transfer(self, batch: HighResBatch, dataloader_idx: int) -> Batch:
        """Degrade on the device; a clip's frames once, before its windows are cut."""
        low_res = batch.frames.is_floating_point()
        small = batch.frames if low_res else self.degradation.downsample(batch.frames)
        degraded = Batch(self.degradation.blur(small, batch.blur_level), to_unit_range(batch.target))
        return degraded.windows(self.frames) if self.targets == "middle" else degraded

    def _loader(
        self, dataset: Dataset[HighResBatch], plan: Callable[[int], Any], batch: int
    ) -> DataLoader[HighResBatch]:
        return plan_loader(dataset, plan, batch, self.num_workers, self.trainer)

    def _devices(self) -> int:
        return self.trainer.world_size if self.trainer else 1
