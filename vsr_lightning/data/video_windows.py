"""What data modules of videos have in common: a split, and degraded windows by epoch."""

from collections.abc import Callable, Sequence
from functools import partial

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader

from vsr_lightning.data.checks import check_number
from vsr_lightning.data.source import Videos
from vsr_lightning.data.windows import (
    FrameBatch,
    WindowDataset,
    Windows,
    all_windows,
    fixed_windows,
    plan_loader,
    release,
    training_windows,
)
from vsr_lightning.degradation import Batch, Degradation, to_unit_range

SHRUNK_AT_ONCE = 100  # videos
EVAL_BATCH = 80  # five videos' windows: large enough to be quick, small enough to stay in a laptop's cache


class VideoWindows(pl.LightningDataModule):
    """Serve videos as ``Batch(low_res, target)``: (B, frames, 1, h, w) and (B, 1, H, W), float in [0, 1].

    Args:
        load: opens or makes the videos, at first use.
        length: frames of a video.
        train_videos: numbers of the videos to train on.
        test_videos: numbers of the videos to test on; nothing is selected on them.
        degradation: what makes a low-res window of a sharp one.
        val_videos: how many of the training videos to hold out and validate on; 0 validates on the test videos.
        seed: draws the training windows, together with the epoch and the video.
        clip: which of a video's frames to use: the first, and one past the last; None is all.
        frames: frames a window, odd: the middle one is predicted.
        batch_size: windows a step, over all devices.
        shrink_once: whether all frames are shrunk at the start and kept, in float32; else each time they are used.
        num_workers: loader processes; 0 is fastest, since a batch is one index operation.

    Raises:
        ValueError: a count that is out of range.
    """

    def __init__(
        self,
        load: Callable[[], Videos],
        length: int,
        train_videos: range,
        test_videos: range,
        degradation: Degradation,
        val_videos: int = 0,
        seed: int = 0,
        clip: Sequence[int] | None = None,
        frames: int = 5,
        batch_size: int = 20,
        shrink_once: bool = False,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        clip = (0, length) if clip is None else clip
        check_number("data.val_videos", val_videos, 0, len(train_videos) - 1)
        check_number("data.batch_size", batch_size, 1)
        check_number("data.num_workers", num_workers, 0)
        if len(clip) != 2 or not 0 <= clip[0] < clip[1] <= length:
            raise ValueError(f"data.clip={list(clip)} is not [first, last + 1] within a video's {length} frames")
        check_number("data.frames", frames, 1, clip[1] - clip[0])
        check_number("data.seed", seed, 0)
        if frames % 2 == 0:
            raise ValueError(f"data.frames={frames} has no middle frame: choose an odd number")
        self.degradation, self.seed, self.frames = degradation, seed, frames
        self.batch_size, self.num_workers, self.shrink_once = batch_size, num_workers, shrink_once
        self.clip = (clip[0], clip[1])
        self.starts = clip[1] - clip[0] - frames + 1
        kept = len(train_videos) - val_videos
        self.train_videos, self.test_videos = train_videos[:kept], test_videos
        self.val_videos = train_videos[kept:] if val_videos else test_videos
        self._load = load
        self._videos: Videos | None = None
        self._shrunk: dict[range, torch.Tensor] = {}

    @property
    def videos(self) -> Videos:
        """The videos and their identity, opened or made at first use."""
        if self._videos is None:
            self._videos = self._load()
        return self._videos

    def train_dataloader(self) -> DataLoader[FrameBatch]:
        """One random window of each training video."""
        return self._loader(partial(training_windows, seed=self.seed), self.train_videos, self.batch_size)

    def val_dataloader(self) -> DataLoader[FrameBatch]:
        """One fixed window of each held-out or test video."""
        return self._loader(fixed_windows, self.val_videos, EVAL_BATCH)

    def test_dataloader(self) -> DataLoader[FrameBatch]:
        """All windows of each test video, 16 of twenty frames."""
        return self._loader(all_windows, self.test_videos, EVAL_BATCH)

    def test_windows(self, videos: int) -> Batch:
        """Return all windows of the first test videos, as they are tested, one video after the other."""
        windows = all_windows(0, videos=self.test_videos[:videos], starts=self.starts)
        batch = WindowDataset(self._clipped(), self.frames)[windows]
        return self.degradation(batch.frames, batch.blur)

    def on_after_batch_transfer(self, batch: FrameBatch, dataloader_idx: int) -> Batch:
        """Degrade on the device."""
        small = batch.frames if self.shrink_once else self.degradation.shrink(batch.frames)
        return Batch(self.degradation.blur(small, batch.blur), to_unit_range(batch.target))

    def _loader(self, windows: Callable[..., Windows], videos: range, batch_size: int) -> DataLoader[FrameBatch]:
        shrunk = self._shrink(videos) if self.shrink_once else None
        dataset = WindowDataset(self._clipped(), self.frames, shrunk, videos.start)
        plan = partial(windows, videos=videos, starts=self.starts)
        return plan_loader(dataset, plan, batch_size, self.num_workers, self.trainer)

    def _shrink(self, videos: range) -> torch.Tensor:
        if videos not in self._shrunk:
            frames, parts = self._clipped(), []
            for first in range(videos.start, videos.stop, SHRUNK_AT_ONCE):
                part = torch.from_numpy(frames[first : min(first + SHRUNK_AT_ONCE, videos.stop)].copy())
                parts.append(self.degradation.shrink(part[:, :, None])[:, :, 0])
                release(frames)
            self._shrunk[videos] = torch.cat(parts)
        return self._shrunk[videos]

    def _clipped(self) -> np.ndarray:
        return self.videos.frames[:, slice(*self.clip)]
