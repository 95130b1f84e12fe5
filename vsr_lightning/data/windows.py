"""Which frames are seen when: pure functions of (seed, epoch, video), so nothing else can change them."""

from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from vsr_lightning.data.loader import HighResBatch

WHOLE_SET = 10_000  # drawn for every video, used or not, so that a video's window does not depend on the split


class WindowPlan(NamedTuple):
    """A list of windows: arrays of equal length n.

    Attributes:
        video: (n,) int, index of the video.
        start: (n,) int, index of the window's first frame.
        blur_level: (n,) float32 in [0, 1), where the window's sigma lies in the range of blur widths.
    """

    video: np.ndarray
    start: np.ndarray
    blur_level: np.ndarray


def training_windows(epoch: int, *, seed: int, videos: range, starts: int) -> WindowPlan:
    """One random window of each video in random order: the first frame is one of ``starts``."""
    first, blur_level = _draw((seed, epoch), (WHOLE_SET,), starts)
    order = np.random.default_rng((seed, epoch, 1)).permutation(videos)
    return WindowPlan(order, first[order], blur_level[order])


def fixed_windows(epoch: int, *, videos: range, starts: int) -> WindowPlan:
    """One window of each video, the same in every epoch and every run."""
    first, blur_level = _draw((0,), (WHOLE_SET,), starts)
    video = np.array(videos)
    return WindowPlan(video, first[video], blur_level[video])


def whole_videos(epoch: int, *, videos: range) -> WindowPlan:
    """Each video from its first frame, with one blur for all of it, the same in every epoch and every run."""
    start, blur_level = _draw((1,), (WHOLE_SET,), 1)
    video = np.array(videos)
    return WindowPlan(video, start[video], blur_level[video])


def _draw(seed: tuple[int, ...], shape: tuple[int, ...], starts: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(starts, size=shape), rng.random(shape, np.float32)


class WindowSpec(NamedTuple):
    """What a row of a plan stands for.

    Attributes:
        frames: number of consecutive frames.
        margin: how many of these, at each end, have no target.
    """

    frames: int
    margin: int


class WindowDataset(Dataset[HighResBatch]):
    """Cuts a whole batch of windows out of the videos in one index operation.

    Args:
        videos: (N, T, H, W) uint8.
        spec: what to take of a video for each row of a plan.
        first_frame: index, in the whole video, of the first of the T frames.
        low_res: (n, T, h, w) float in [0, 1], the frames of some videos downsampled before; None leaves that for later.
        first_video: index of the first of these videos.
    """

    def __init__(
        self,
        videos: np.ndarray,
        spec: WindowSpec,
        first_frame: int = 0,
        low_res: torch.Tensor | None = None,
        first_video: int = 0,
    ) -> None:
        self.videos, self.spec, self.first_frame = videos, spec, first_frame
        self.low_res, self.first_video = low_res, first_video

    def __getitem__(self, plan: WindowPlan) -> HighResBatch:
        frames, margin = self.spec
        video, frame = np.maximum(plan.video, ~plan.video)[:, None], plan.start[:, None] + np.arange(frames)
        wanted = slice(margin, frames - margin)
        if self.low_res is None:
            given = torch.from_numpy(self.videos[video, frame])
            target = given[:, wanted]
        else:
            rows = torch.from_numpy((video - self.first_video) * self.low_res.shape[1] + frame)
            given = self.low_res.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, rows.shape)
            target = torch.from_numpy(self.videos[video, frame[:, wanted]])
        numbers = torch.from_numpy(frame[:, wanted] + self.first_frame)
        return HighResBatch(
            given.unsqueeze(-3),
            target.unsqueeze(-3),
            torch.from_numpy(plan.video[:, None]).expand_as(numbers),
            numbers,
            torch.from_numpy(plan.blur_level),
        )
