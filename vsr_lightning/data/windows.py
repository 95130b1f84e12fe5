"""Which frames are seen when: pure functions of (seed, epoch, video), so nothing else can change them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from vsr_lightning.data.loader import HighResBatch

BLOCK = 10_000  # videos whose windows are drawn together, used or not, so that none depends on the split


class WindowPlan(NamedTuple):
    """A list of windows: arrays of equal length n.

    Attributes:
        video, start: (n,) int, index of the video, and of the window's first frame.
        blur_level: (n,) float32 in [0, 1), where the window's sigma lies in the range of blur widths.
        place: (n, 3) float32 in [0, 1), of a crop: which pixel it is drawn around, and how far down and to the right
            in the crop that pixel lies.
    """

    video: np.ndarray
    start: np.ndarray
    blur_level: np.ndarray
    place: np.ndarray


def training_windows(epoch: int, *, seed: int, videos: range, starts: int) -> WindowPlan:
    """One random window of each video in random order: the first frame is one of ``starts``."""
    return _draw((seed, epoch), np.random.default_rng((seed, epoch, 1)).permutation(videos), starts)


def fixed_windows(epoch: int, *, videos: range, starts: int) -> WindowPlan:
    """One window of each video, the same in every epoch and every run."""
    return _draw((0,), np.array(videos), starts)


def whole_videos(epoch: int, *, videos: range) -> WindowPlan:
    """Each video from its first frame, with one blur for all of it, the same in every epoch and every run."""
    return _draw((1,), np.array(videos), 1)


def _draw(seed: tuple[int, ...], video: np.ndarray, starts: int) -> WindowPlan:
    drawn = []
    for block in range(1 + video.max() // BLOCK):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(block,) if block else ()))
        drawn.append(
            (rng.integers(starts, size=BLOCK), rng.random(BLOCK, np.float32), rng.random((BLOCK, 3), np.float32))
        )
    return WindowPlan(video, *(np.concatenate(column)[video] for column in zip(*drawn, strict=True)))


@dataclass(eq=False)
class WindowDataset(Dataset[HighResBatch]):
    """Cuts a whole batch of windows out of the videos in one index operation.

    Args:
        videos: (N, T, C, H, W) uint8.
        window: how many consecutive frames a row of a plan stands for, and how many at each end have no target.
        first_frame: index, in the whole video, of the first of the T frames.
        low_res: (n, T, C, h, w) float in [0, 1], some videos' frames downsampled before; None leaves that for later.
        first_video: index of the first of these videos.
        crop: side of the square that is cut out of each window, and what its corner is a multiple of; None is whole
            frames.
    """

    videos: np.ndarray
    window: tuple[int, int]
    first_frame: int = 0
    low_res: torch.Tensor | None = None
    first_video: int = 0
    crop: tuple[int, int] | None = None

    def __getitem__(self, plan: WindowPlan) -> HighResBatch:
        frames, margin = self.window
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
        videos = torch.from_numpy(plan.video[:, None]).expand_as(numbers)
        corner = None if self.crop is None else crop_corners(target, torch.from_numpy(plan.place), *self.crop)
        return HighResBatch(given, target, videos, numbers, torch.from_numpy(plan.blur_level), corner)


def crop_corners(target: torch.Tensor, place: torch.Tensor, crop: int, multiple: int) -> torch.Tensor:
    """Return where to cut a square out of each window: (B, 2) int64, its top and left, multiples of ``multiple``.

    A pixel of the middle frame, drawn in proportion to the pixels' brightness, or any if all are black, lies in its
    middle half, as nearly as the frame's edges and ``multiple`` allow: most of Moving MNIST is black, and a network
    learns nothing there.

    Args:
        target: (B, K, C, H, W) uint8.
        place: (B, 3) in [0, 1), see :class:`WindowPlan`.
        crop: height and width, in pixels of the target.
        multiple: what the corner is a multiple of, in these pixels.
    """
    height, width = target.shape[-2:]
    middle = target[:, target.shape[1] // 2].sum(1).flatten(1)
    light = torch.where(middle.any(1, keepdim=True), middle, 1).cumsum(1)
    drawn = (light[:, -1:] * place[:, :1].double()).long()
    pixel = torch.searchsorted(light, drawn, right=True)
    around = torch.cat([pixel // width, pixel % width], 1) - (crop * (0.25 + place[:, 1:] / 2)).long()
    most = torch.tensor([height - crop, width - crop])
    return around.clamp(torch.zeros_like(most), most) // multiple * multiple
