"""Which part of which frames is seen when: windows of clips as :mod:`vsr_lightning.data.windows` has them, cropped.

Clips are given as spans, (n, 3) int: index of the clip, its first frame, one past the last.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from vsr_lightning.data.loader import HighResBatch
from vsr_lightning.data.real_video.clips import Clips

MIDDLE = (0.5, 0.5, 0)  # top, left, and transform of a crop in the middle, as it is


class Crops(NamedTuple):
    """A list of windows: arrays of equal length n.

    Attributes:
        video, start, frames: (n,) int, index of the clip and of the window's first frame, and number of frames.
        blur_level: (n,) float32 in [0, 1), where the window's sigma lies in the range of blur widths.
        top, left: (n,) float32 in [0, 1), the crop's place between the highest and lowest, leftmost and rightmost one.
        transform: (n,) int, a sum: 1 flips left and right, 2 flips top and bottom, 4 transposes.
    """

    video: np.ndarray
    start: np.ndarray
    frames: np.ndarray
    blur_level: np.ndarray
    top: np.ndarray
    left: np.ndarray
    transform: np.ndarray


def training_crops(epoch: int, *, seed: int, spans: np.ndarray, frames: int, windows: int, transforms: int) -> Crops:
    """``windows`` random windows of each clip, in random order, under one of the first ``transforms`` transforms."""
    rows = np.random.default_rng((seed, epoch, 1)).permutation(len(spans) * windows)
    (video, first, stop), which = spans[rows // windows].T, rows % windows
    start, blur_level, top, left, transform = _draw((seed, epoch), video, windows, 5)[video, which].T
    start = first + _one_of(start, stop - first - frames + 1)
    return _crops(video, start, frames, blur_level, top, left, _one_of(transform, transforms))


def fixed_crops(epoch: int, *, spans: np.ndarray, frames: int) -> Crops:
    """One window of each clip, the middle of the picture, the same in every epoch and every run."""
    video, first, stop = spans.T
    start, blur_level = _draw((0,), video, 2)[video].T
    return _crops(video, first + _one_of(start, stop - first - frames + 1), frames, blur_level, *MIDDLE)


def whole_clips(epoch: int, *, spans: np.ndarray, margin: int, most: int | None) -> Crops:
    """All frames of each clip, with one blur for all of it, the same in every epoch and every run.

    ``margin`` frames at each end are given and not scored. At most ``most`` frames are scored at once, where it is not
    None: longer clips come in pieces, each with margins.
    """
    pieces = [
        (row, at, min(at + (most or stop), stop - margin) - at)
        for row, (_, first, stop) in enumerate(spans)
        for at in range(first + margin, stop - margin, most or stop)
    ]
    row, at, scored = np.array(pieces).T
    video = spans[row, 0]
    return _crops(video, at - margin, scored + 2 * margin, _draw((1,), video)[video], *MIDDLE)


def _draw(seed: tuple[int, ...], video: np.ndarray, *each: int) -> np.ndarray:
    """Return ``each`` float32 in [0, 1) of every clip, used or not, so that the split has no influence."""
    return np.random.default_rng(seed).random((video.max() + 1, *each), np.float32)


def _one_of(drawn: np.ndarray, choices: np.ndarray | int) -> np.ndarray:
    return (drawn.astype(float) * choices).astype(int)


def _crops(video: np.ndarray, *columns: np.ndarray | float) -> Crops:
    """Return one row per video; a number stands for all rows."""
    return Crops(video, *(np.full(len(video), column) for column in columns))


class CropDataset(Dataset[HighResBatch]):
    """Reads a batch of cropped windows.

    Args:
        clips: what is read.
        low_res: the same clips, ``multiple`` times smaller, where these are at hand; None leaves that for later.
        margin: how many frames, at each end of a window, have no target.
        crop: height and width of the crops; None is whole frames.
        multiple: whole frames are cut to a multiple of it.
    """

    def __init__(
        self, clips: Clips, margin: int, crop: int | None, multiple: int, low_res: Clips | None = None
    ) -> None:
        self.clips, self.margin, self.crop, self.multiple, self.low_res = clips, margin, crop, multiple, low_res

    def __getitem__(self, plan: Crops) -> HighResBatch:
        rows = plan._replace(video=np.maximum(plan.video, ~plan.video))
        given, targets = zip(*(self._window(*row) for row in zip(*rows, strict=True)), strict=True)
        if len({window.shape for window in given}) > 1:
            raise ValueError("whole frames of different sizes make no batch: give data.crop, or data.batch_size=1")
        frames = torch.stack(given)
        wanted = slice(self.margin, frames.shape[1] - self.margin)
        numbers = torch.from_numpy(plan.start[:, None] + np.arange(frames.shape[1])[wanted])
        video = torch.from_numpy(plan.video[:, None]).expand_as(numbers)
        target = frames[:, wanted] if self.low_res is None else torch.stack(targets)
        return HighResBatch(frames, target, video, numbers, torch.from_numpy(plan.blur_level))

    def _window(
        self, video: int, start: int, frames: int, blur_level: float, top: float, left: float, transform: int
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the frames that are given, and the targets where these are not among them."""
        size, scale = self.clips.clips[video].size, self.multiple
        height, width = (self.crop or side - side % scale for side in size)
        y, x = int(float(top) * (size[0] - height + 1)), int(float(left) * (size[1] - width + 1))
        whole = range(start, start + frames)
        if self.low_res is None:
            return transformed(self.clips.read(video, whole, (x, y, x + width, y + height)), transform), None
        y, x = y // scale, x // scale
        small = self.low_res.read(video, whole, (x, y, x + width // scale, y + height // scale))
        box = (scale * x, scale * y, scale * x + width, scale * y + height)
        sharp = self.clips.read(video, whole[self.margin : frames - self.margin], box)
        return transformed(small / 255, transform), transformed(sharp, transform)


def transformed(window: torch.Tensor, transform: int) -> torch.Tensor:
    """Flip and transpose (..., H, W) as :class:`Crops` says."""
    window = window.flip([dim for bit, dim in ((1, -1), (2, -2)) if transform & bit])
    return window.transpose(-1, -2) if transform & 4 else window
