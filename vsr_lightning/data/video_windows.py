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
    Cut,
    FrameBatch,
    WindowDataset,
    Windows,
    fixed_windows,
    plan_loader,
    release,
    training_windows,
    whole_videos,
)
from vsr_lightning.degradation import Batch, Degradation, to_unit_range

SHRUNK_AT_ONCE = 100  # videos
EVAL_BATCH = 80  # frames to predict: large enough to be quick, small enough to stay in a laptop's cache
TARGETS = ("middle", "all")


class VideoWindows(pl.LightningDataModule):
    """Serve videos as ``Batch(low_res, target)``: (B, frames, 1, h, w) and (B, 1, H, W), float in [0, 1].

    With ``targets=all`` a target is (B, frames, 1, H, W) in training; validation and test then take a video as one
    window, of whose frames ``edge`` at each end are given and not scored. Tests take all frames of a video one after
    the other, under one blur.

    Args:
        load: opens or makes the videos, at first use.
        length: frames of a video.
        train_videos: numbers of the videos to train on.
        test_videos: numbers of the videos to test on; nothing is selected on them.
        degradation: what makes a low-res window of a sharp one.
        val_videos: how many of the training videos to hold out and validate on; 0 validates on the test videos.
        seed: draws the training windows, together with the epoch and the video.
        clip: which of a video's frames to use: the first, and one past the last; None is all.
        frames: frames a window.
        targets: which of them to predict: the ``middle`` one, of an odd number, or ``all``.
        edge: frames at each end of a video that have no score under ``all``; 2 scores what windows of five do.
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
        targets: str = "middle",
        edge: int = 2,
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
        if targets not in TARGETS:
            raise ValueError(f"data.targets={targets} is unknown: choose one of {', '.join(TARGETS)}")
        if targets == "middle" and frames % 2 == 0:
            raise ValueError(f"data.frames={frames} has no middle frame: choose an odd number")
        self.degradation, self.seed, self.frames, self.targets = degradation, seed, frames, targets
        self.batch_size, self.num_workers, self.shrink_once = batch_size, num_workers, shrink_once
        self.clip, length = (clip[0], clip[1]), clip[1] - clip[0]
        check_number("data.edge", edge, 0, (length - 1) // 2)
        self.starts = length - frames + 1
        if targets == "middle":
            edge = frames // 2
            self._training = Cut(frames, edge)
            self._validation, self._test = self._training, Cut(frames, edge, self.starts)
        else:
            self._training = Cut(frames, slice(None))
            self._validation = self._test = Cut(length, slice(edge, length - edge))
        self.scored = range(clip[0] + edge, clip[1] - edge)  # a video's frames that are predicted and scored
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
        plan = partial(training_windows, seed=self.seed, starts=self.starts)
        return self._loader(plan, self._training, self.train_videos, self.batch_size)

    def val_dataloader(self) -> DataLoader[FrameBatch]:
        """One fixed window of each held-out or test video."""
        plan = partial(fixed_windows, starts=self.starts if self.targets == "middle" else 1)
        batch = EVAL_BATCH if self.targets == "middle" else EVAL_BATCH // len(self.scored)
        return self._loader(plan, self._validation, self.val_videos, max(1, batch) * self._devices())

    def test_dataloader(self) -> DataLoader[FrameBatch]:
        """All frames of each test video that can be scored: 16 of twenty in windows of five."""
        batch = max(1, EVAL_BATCH // len(self.scored))
        return self._loader(whole_videos, self._test, self.test_videos, batch * self._devices())

    def test_windows(self, videos: int) -> Batch:
        """Return the first test videos as they are tested, one after the other."""
        plan = whole_videos(0, videos=self.test_videos[:videos])
        return self._degrade(WindowDataset(self._clipped(), self._test)[plan], shrunk=False)

    def frames_of(self, plan: Windows) -> tuple[np.ndarray, np.ndarray]:
        """Return video and number of each frame that a part of the test's plan has scores of, in their order."""
        return np.repeat(plan.video, len(self.scored)), np.tile(np.array(self.scored), len(plan.video))

    def on_after_batch_transfer(self, batch: FrameBatch, dataloader_idx: int) -> Batch:
        """Degrade on the device."""
        return self._degrade(batch, shrunk=self.shrink_once)

    def _degrade(self, batch: FrameBatch, shrunk: bool) -> Batch:
        small = batch.frames if shrunk else self.degradation.shrink(batch.frames)
        return Batch(self.degradation.blur(small, batch.blur), to_unit_range(batch.target))

    def _loader(self, plan: Callable[..., Windows], cut: Cut, videos: range, batch_size: int) -> DataLoader[FrameBatch]:
        shrunk = self._shrink(videos) if self.shrink_once else None
        dataset = WindowDataset(self._clipped(), cut, shrunk, videos.start)
        return plan_loader(dataset, partial(plan, videos=videos), batch_size, self.num_workers, self.trainer)

    def _devices(self) -> int:
        return self.trainer.world_size if self.trainer else 1

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
