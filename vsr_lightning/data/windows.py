"""Which frames are seen when: pure functions of (seed, epoch, video), so nothing else can change them."""

import mmap
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from vsr_lightning.data.loader import HighResBatch

RELEASE_EVERY = 20  # batches: faulting the pages in again costs more than the rest of a batch
WHOLE_SET = 10_000  # drawn for every video, used or not, so that a video's window does not depend on the split


class WindowPlan(NamedTuple):
    """A list of windows: arrays of equal length n.

    Attributes:
        video: (n,) int, number of the video.
        start: (n,) int, its first frame.
        blur: (n,) float32 in [0, 1), the place in the range of blur widths.
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
        frames: how many one after the other.
        targets: of these, the number of the one to predict, or a slice of several.
    """

    frames: int
    targets: int | slice


class WindowDataset(Dataset[HighResBatch]):
    """Cuts a whole batch of windows out of the videos in one index operation.

    Args:
        videos: (N, T, H, W) uint8.
        cut: what to take of a video for each row of the plan.
        shrunk: (n, T, h, w) float, the frames of some videos once they are shrunk; None leaves that for later.
        first: number of the first of these videos.
    """

    def __init__(
        self, videos: np.ndarray, cut: WindowSpec, low_res: torch.Tensor | None = None, first: int = 0
    ) -> None:
        self.videos, self.cut, self.low_res, self.first = videos, cut, low_res, first
        self.served = 0

    def __getitem__(self, plan: WindowPlan) -> HighResBatch:
        frames, targets = self.cut
        video, times = plan.video, plan.start[:, None] + np.arange(frames)
        if self.low_res is None:
            cut = torch.from_numpy(self.videos[video[:, None], times])
            target = cut[:, targets]
        else:
            rows = (video[:, None] - self.first) * self.low_res.shape[1] + times
            cut = self.low_res.flatten(0, 1).index_select(0, torch.from_numpy(rows.ravel())).unflatten(0, rows.shape)
            wanted = times[:, targets]
            target = torch.from_numpy(self.videos[video.reshape(-1, *[1] * (wanted.ndim - 1)), wanted])
        self.served += 1
        if self.served % RELEASE_EVERY == 0:
            release(self.videos)
        return HighResBatch(cut.unsqueeze(-3), target.unsqueeze(-3), torch.from_numpy(plan.blur_level))


def release(videos: np.ndarray) -> None:
    """Let go of the pages of a memory-mapped file: the system caches it, and a process would come to hold it all."""
    if mapping := mapping_of(videos):
        mapping.madvise(mmap.MADV_DONTNEED)


def mapping_of(array: np.ndarray) -> mmap.mmap | None:
    """Return the file mapping that an array is a view of; None if there is none or the system can't release pages."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) and hasattr(base, "madvise") else None
