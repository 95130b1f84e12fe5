"""Windows of videos that lie in one array."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.data.loader import HighResBatch
from vsr_lightning.data.videos import Videos
from vsr_lightning.data.windows import (
    WindowDataset,
    WindowPlan,
    WindowSpec,
    fixed_windows,
    release,
    training_windows,
    whole_videos,
)
from vsr_lightning.degradation import Batch, Degradation
from vsr_lightning.utils.checks import check_number

DOWNSAMPLED_AT_ONCE = 100  # videos
EVAL_BATCH = 80  # frames to predict: large enough to be quick, small enough to stay in a laptop's cache


class VideoWindows(VideoData):
    """Serve videos as ``Batch(low_res, target)``: (B, frames, 1, h, w) and (B, 1, H, W), float in [0, 1].

    With ``targets=all`` a target is (B, frames, 1, H, W) in training; validation and test then take a video as one
    window, of whose frames ``edge`` at each end are given and not scored.

    Args:
        load: opens or makes the videos, at first use.
        length: frames of a video.
        train_videos: numbers of the videos to train on.
        test_videos: numbers of the videos to test on; nothing is selected on them.
        degradation: what makes a low-res window of a sharp one.
        clip: which of a video's frames to use: the first, and one past the last; None is all.
        edge: frames at each end of a video that have no score under ``all``; 2 scores what windows of five do.
        cache_low_res: whether all frames are shrunk at the start and kept, in float32; else each time they are used.
        windows: see :class:`VideoData`; without processes is fastest, since a batch is one index operation.

    Raises:
        ValueError: a count that is out of range.
    """

    train_videos: range
    val_videos: range
    test_videos: range

    def __init__(
        self,
        load: Callable[[], Videos],
        length: int,
        train_videos: range,
        test_videos: range,
        degradation: Degradation,
        frame_range: Sequence[int] | None = None,
        unscored_frames: int = 2,
        cache_low_res: bool = False,
        **windows: Any,
    ) -> None:
        super().__init__(train_videos, test_videos, degradation, **windows)
        frame_range = (0, length) if frame_range is None else frame_range
        if len(frame_range) != 2 or not 0 <= frame_range[0] < frame_range[1] <= length:
            raise ValueError(
                f"data.frame_range={list(frame_range)} is not [first, last + 1] within a video's {length} frames"
            )
        self.frame_range, length = (frame_range[0], frame_range[1]), frame_range[1] - frame_range[0]
        check_number("data.frames", self.frames, 1, length)
        check_number("data.unscored_frames", unscored_frames, 0, (length - 1) // 2)
        self.cache_low_res = cache_low_res
        self.starts = length - self.frames + 1
        unscored_frames = self.frames // 2 if self.targets == "middle" else unscored_frames
        whole = WindowSpec(length, slice(unscored_frames, length - unscored_frames))
        if self.targets == "middle":
            self._training = self._validation = WindowSpec(self.frames, unscored_frames)
        else:
            self._training, self._validation = WindowSpec(self.frames, slice(None)), whole
        self._test = whole
        self.scored = range(
            frame_range[0] + unscored_frames, frame_range[1] - unscored_frames
        )  # a video's frames that are predicted and scored
        self._load = load
        self._videos: Videos | None = None
        self._low_res: dict[range, torch.Tensor] = {}

    @property
    def videos(self) -> Videos:
        """The videos and their identity, opened or made at first use."""
        if self._videos is None:
            self._videos = self._load()
        return self._videos

    def train_dataloader(self) -> DataLoader[HighResBatch]:
        """One random window of each training video."""
        plan = partial(training_windows, seed=self.seed, starts=self.starts)
        return self._windows(plan, self._training, self.train_videos, self.batch_size)

    def val_dataloader(self) -> DataLoader[HighResBatch]:
        """One fixed window of each held-out or test video."""
        plan = partial(fixed_windows, starts=self.starts if self.targets == "middle" else 1)
        batch = EVAL_BATCH if self.targets == "middle" else EVAL_BATCH // len(self.scored)
        return self._windows(plan, self._validation, self.val_videos, max(1, batch) * self._devices())

    def test_dataloader(self) -> DataLoader[HighResBatch]:
        """All frames of each test video that can be scored: 16 of twenty in windows of five."""
        batch = max(1, EVAL_BATCH // len(self.scored))
        return self._windows(whole_videos, self._test, self.test_videos, batch * self._devices())

    def test_windows(self, videos: int) -> Batch:
        """Return the first test videos as they are tested, one after the other."""
        plan = whole_videos(0, videos=self.test_videos[:videos])
        return self.on_after_batch_transfer(WindowDataset(self._clipped(), self._test)[plan], 0)

    def frames_of(self, plan: WindowPlan) -> tuple[np.ndarray, np.ndarray]:
        """Return video and number of each frame that a part of the test's plan has scores of, in their order."""
        return np.repeat(plan.video, len(self.scored)), np.tile(np.array(self.scored), len(plan.video))

    def in_a_row(self, frames: int) -> int:
        """Return how many frames of a test batch follow one another: those of a video."""
        return len(self.scored)

    def _windows(
        self, plan: Callable[..., WindowPlan], cut: WindowSpec, videos: range, batch_size: int
    ) -> DataLoader[HighResBatch]:
        low_res = self._cache_low_res(videos) if self.cache_low_res else None
        dataset = WindowDataset(self._clipped(), cut, low_res, videos.start)
        return self._loader(dataset, partial(plan, videos=videos), batch_size)

    def _cache_low_res(self, videos: range) -> torch.Tensor:
        if videos not in self._low_res:
            frames, parts = self._clipped(), []
            for first in range(videos.start, videos.stop, DOWNSAMPLED_AT_ONCE):
                part = torch.from_numpy(frames[first : min(first + DOWNSAMPLED_AT_ONCE, videos.stop)].copy())
                parts.append(self.degradation.downsample(part[:, :, None])[:, :, 0])
                release(frames)
            self._low_res[videos] = torch.cat(parts)
        return self._low_res[videos]

    def _clipped(self) -> np.ndarray:
        return self.videos.frames[:, slice(*self.frame_range)]
