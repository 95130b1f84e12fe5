"""Windows of videos that lie in one array."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from vsr_lightning.data.datamodule import VideoData, check_crop, spread
from vsr_lightning.data.loader import HighResBatch
from vsr_lightning.data.videos import Videos
from vsr_lightning.data.windows import WindowDataset, fixed_windows, training_windows, whole_videos
from vsr_lightning.degradation import Batch, Degradation, to_unit_range

DOWNSAMPLED_AT_ONCE = 100  # videos
EVAL_BATCH = 80  # frames to predict: large enough to be quick, small enough to stay in a laptop's cache


class VideoWindows(VideoData):
    """Serve windows or clips of videos of one length and size; see :class:`VideoData` for the batches.

    For a network that takes clips, validation and test take a whole video as one clip.

    Args:
        load: opens or makes the videos, at first use.
        length: frames of a video.
        train_videos, test_videos, degradation, options: see :class:`VideoData`.
        frame_range: which of a video's frames to use: the first, and one past the last; None is all.
        crop: height and width of training crops, around something bright, see
            :func:`vsr_lightning.data.windows.crop_corners`; None is whole frames.
        cache_low_res: whether all frames are downsampled once and kept, in float32; else each time they are used.

    Raises:
        ValueError: a count that is out of range, or a crop that does not fit.
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
        crop: int | None = None,
        cache_low_res: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(train_videos, test_videos, degradation, **options)
        first, stop = self.frame_range = self._used_frames(frame_range, length, "a video")
        self.crop, self.cache_low_res = crop, cache_low_res
        self.starts = stop - first - self.frames + 1
        self.scored = range(first + self.margin, stop - self.margin)
        self._videos_at_once = max(1, EVAL_BATCH // len(self.scored))
        self._window, self._whole = (self.frames, self.train_margin), (stop - first, self.margin)
        self._load = load
        self._low_res: dict[range, torch.Tensor] = {}

    @cached_property
    def videos(self) -> Videos:  # type: ignore[override]
        return self._load()

    @cached_property
    def train_size(self) -> tuple[int, int, int]:  # type: ignore[override]
        channels, height, width = self.test_size
        check_crop(self.crop, self.degradation.scale, (height, width), "the videos")
        return channels, self.crop or height, self.crop or width

    @cached_property
    def test_size(self) -> tuple[int, int, int]:  # type: ignore[override]
        return self._frames().shape[2:]

    @property
    def real_size(self) -> tuple[int, int, int]:  # type: ignore[override]
        return self.test_size

    def train_dataloader(self) -> DataLoader[HighResBatch]:
        """One random window or clip of each training video, cropped if asked to."""
        plan = partial(training_windows, seed=self.seed, videos=self.train_videos, starts=self.starts)
        dataset = self._dataset(self._window, self.train_videos)
        if self.crop is not None:
            dataset = replace(dataset, crop=(self.train_size[1], self.degradation.scale))
        return self._loader(dataset, plan, self.batch_size, repeat=False)

    def val_dataloader(self) -> DataLoader[HighResBatch]:
        """One fixed window of each held-out or test video, or the whole video for a network that takes clips."""
        starts, window, at_once = self.starts, self._window, EVAL_BATCH
        if self.takes == "clip":
            starts, window, at_once = 1, self._whole, self._videos_at_once
        plan = partial(fixed_windows, videos=self.val_videos, starts=starts)
        return self._loader(self._dataset(window, self.val_videos), plan, at_once * self._devices())

    def test_dataloader(self) -> DataLoader[HighResBatch]:
        """All frames of each test video that can be scored: 16 of twenty in windows of five."""
        plan, at_once = partial(whole_videos, videos=self.test_videos), self._videos_at_once * self._devices()
        return self._loader(self._dataset(self._whole, self.test_videos), plan, at_once)

    def test_windows(self, videos: int) -> Batch:
        plan = whole_videos(0, videos=self.test_videos[:videos])
        return self.on_after_batch_transfer(self._dataset(self._whole)[plan], 0)

    def real_frames(self, most: int) -> Iterator[tuple[int, int, torch.Tensor]]:
        frames = self._frames()
        for video, frame in spread([(video, 0, frames.shape[1]) for video in self.train_videos], most):
            yield video, frame + self.frame_range[0], to_unit_range(torch.from_numpy(frames[video, frame].copy()))

    def _dataset(self, window: tuple[int, int], videos: range | None = None) -> WindowDataset:
        frames = self._frames()
        if videos is None or not self.cache_low_res:
            return WindowDataset(frames, window, self.frame_range[0])
        if videos not in self._low_res:
            chosen, scale = frames[videos.start : videos.stop], self.degradation.scale
            low_res = torch.empty(*chosen.shape[:3], chosen.shape[3] // scale, chosen.shape[4] // scale)
            for first in range(0, len(videos), DOWNSAMPLED_AT_ONCE):  # in place: there may not be room for two
                part = slice(first, first + DOWNSAMPLED_AT_ONCE)
                low_res[part] = self.degradation.downsample(torch.from_numpy(chosen[part].copy()))
            self._low_res[videos] = low_res
        return WindowDataset(frames, window, self.frame_range[0], self._low_res[videos], videos.start)

    def _frames(self) -> np.ndarray:
        """Return the frames in use, (N, T, C, H, W): a view, on disk too."""
        frames = self.videos.frames[:, slice(*self.frame_range)]
        return frames[:, :, None] if frames.ndim == 4 else np.moveaxis(frames, -1, 2)
