"""The data module: 8,000 training and 2,000 test videos, served as degraded windows."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from vsr_lightning.data.checks import check_number
from vsr_lightning.data.generated import FRAMES, TRAIN, VIDEOS
from vsr_lightning.data.source import Videos, load_videos
from vsr_lightning.data.windows import (
    FrameBatch,
    WindowDataset,
    Windows,
    all_windows,
    fixed_windows,
    plan_loader,
    training_windows,
)
from vsr_lightning.degradation import Batch, Degradation

EVAL_BATCH = 80  # five videos' windows: large enough to be quick, small enough to stay in a laptop's cache


class MovingMNIST(pl.LightningDataModule):
    """Moving MNIST: videos 0 to 7,999 train, 8,000 to 9,999 test; nothing is selected on the test videos.

    Batches are ``Batch(low_res, target)``: (B, frames, 1, h, w) and (B, 1, H, W), float in [0, 1].

    Args:
        degradation: what makes a low-res window of a sharp one.
        source, root, download, generator_seed: see :func:`vsr_lightning.data.source.load_videos`.
        seed: draws the training windows, together with the epoch and the video.
        clip: which of a video's 20 frames to use: the first, and one past the last.
        frames: frames a window, odd: the middle one is predicted.
        train_videos, test_videos: how many of the 8,000 and the 2,000 to use.
        val_videos: how many of the training videos to hold out and validate on; 0 validates on the test videos.
        batch_size: windows a step, over all devices.
        num_workers: loader processes; 0 is fastest, since a batch is one index operation.

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
        seed: int = 0,
        clip: Sequence[int] = (0, FRAMES),
        frames: int = 5,
        train_videos: int = TRAIN,
        test_videos: int = VIDEOS - TRAIN,
        val_videos: int = 0,
        batch_size: int = 20,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        check_number("data.train_videos", train_videos, 1, TRAIN)
        check_number("data.test_videos", test_videos, 1, VIDEOS - TRAIN)
        check_number("data.val_videos", val_videos, 0, train_videos - 1)
        check_number("data.batch_size", batch_size, 1)
        check_number("data.num_workers", num_workers, 0)
        if len(clip) != 2 or not 0 <= clip[0] < clip[1] <= FRAMES:
            raise ValueError(f"data.clip={list(clip)} is not [first, last + 1] within a video's {FRAMES} frames")
        check_number("data.frames", frames, 1, clip[1] - clip[0])
        check_number("data.seed", seed, 0)
        if frames % 2 == 0:
            raise ValueError(f"data.frames={frames} has no middle frame: choose an odd number")
        self.degradation, self.seed, self.frames = degradation, seed, frames
        self.batch_size, self.num_workers = batch_size, num_workers
        self.clip = (clip[0], clip[1])
        self.starts = clip[1] - clip[0] - frames + 1
        self.train_videos = range(train_videos - val_videos)
        self.test_videos = range(TRAIN, TRAIN + test_videos)
        self.val_videos = range(train_videos - val_videos, train_videos) if val_videos else self.test_videos
        self._load = partial(
            load_videos, source, root, (range(train_videos), self.test_videos), generator_seed, download
        )
        self._videos: Videos | None = None

    @property
    def videos(self) -> Videos:
        """The videos and their identity, opened or made at first use."""
        if self._videos is None:
            self._videos = self._load()
        return self._videos

    def train_dataloader(self) -> DataLoader[FrameBatch]:
        """One random window of each training video."""
        return self._loader(
            partial(training_windows, seed=self.seed, videos=self.train_videos, starts=self.starts), self.batch_size
        )

    def val_dataloader(self) -> DataLoader[FrameBatch]:
        """One fixed window of each held-out or test video."""
        return self._loader(partial(fixed_windows, videos=self.val_videos, starts=self.starts), EVAL_BATCH)

    def test_dataloader(self) -> DataLoader[FrameBatch]:
        """All 16 windows of each test video."""
        return self._loader(partial(all_windows, videos=self.test_videos, starts=self.starts), EVAL_BATCH)

    def test_windows(self, videos: int) -> Batch:
        """Return all windows of the first test videos, as they are tested: (videos * 16, ...) in the videos' order."""
        windows = all_windows(0, videos=self.test_videos[:videos], starts=self.starts)
        return self.on_after_batch_transfer(self._dataset()[windows], 0)

    def on_after_batch_transfer(self, batch: FrameBatch, dataloader_idx: int) -> Batch:
        """Degrade on the device."""
        return self.degradation(batch.frames, batch.blur)

    def _loader(self, plan: Callable[[int], Windows], batch_size: int) -> DataLoader[FrameBatch]:
        return plan_loader(self._dataset(), plan, batch_size, self.num_workers, self.trainer)

    def _dataset(self) -> WindowDataset:
        return WindowDataset(self.videos.frames[:, slice(*self.clip)], self.frames)
