"""Crops of real video, wherever its frames lie."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from vsr_lightning.data.datamodule import VideoData, check_crop, spread
from vsr_lightning.data.loader import HighResBatch
from vsr_lightning.data.real_video.cache import CachedClips
from vsr_lightning.data.real_video.clips import Clips
from vsr_lightning.data.real_video.crops import CropDataset, fixed_crops, training_crops, whole_clips
from vsr_lightning.degradation import Batch, Degradation, to_unit_range
from vsr_lightning.utils.checks import check_number

SHOWN_FRAMES, SHOWN_SIZE = 5, 256  # of a test video where it is only looked at


class RealVideo(VideoData):
    """Serve crops of real video, read from disk when they are used; see :class:`VideoData` for the batches.

    Training takes random crops, validation the middle of each clip's picture, tests whole frames, cut in the middle to
    a multiple of the scale. A test batch is one clip, or a piece of it. For a network that takes windows, only
    frames with a whole window are scored; for one that takes clips, all but ``unscored_frames`` at each end.

    Args:
        clips: the clips in use; numbers of clips are keys of ``clips.clips``.
        train_videos, test_videos: the numbers of those that train, and of those that test.
        crop: height and width of training and validation crops; None is whole frames.
        flips: whether training crops are flipped and transposed at random.
        frame_range: which of a clip's frames to use: the first, and one past the last; None is all, or, for a network
            that takes windows, those around the ``target``.
        target: number of the frame that the set is made to score; None scores all.
        low_res: the same clips, ``degradation.scale`` times smaller, as somebody published them; None makes low-res
            frames of the sharp ones.
        cache: a folder to keep decoded frames in, see :class:`vsr_lightning.data.real_video.cache.CachedClips`; None
            decodes them whenever they are used.
        test_frames: frames scored at once; None is a whole clip.
        windows_per_clip: random windows or clips of each training clip per epoch.
        degradation, options: see :class:`VideoData`.

    Raises:
        ValueError: frames that can't be used, or a number out of range.
    """

    videos: Clips

    def __init__(
        self,
        degradation: Degradation,
        clips: Clips,
        train_videos: Sequence[int],
        test_videos: Sequence[int],
        crop: int | None = 256,
        flips: bool = True,
        frame_range: Sequence[int] | None = None,
        target: int | None = None,
        test_frames: int | None = 10,
        windows_per_clip: int = 1,
        low_res: Clips | None = None,
        cache: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(train_videos, test_videos, degradation, **options)
        check_number("data.windows_per_clip", windows_per_clip, 1)
        if test_frames is not None:
            check_number("data.test_frames", test_frames, 1)
        if frame_range is None and target is not None and self.takes == "window":
            frame_range = (target - self.margin, target + self.margin + 1)
        self.crop, self.flips, self.test_frames, self.windows_per_clip = crop, flips, test_frames, windows_per_clip
        self.videos = clips if cache is None else CachedClips(clips, Path(cache))
        if low_res and cache is not None:
            low_res = CachedClips(low_res, Path(cache))
        for clip in self.videos.clips.values():
            check_crop(crop, degradation.scale, clip.size, clip.name)
        dataset = partial(CropDataset, self.videos, multiple=degradation.scale, low_res=low_res)
        self._windows = dataset(margin=self.train_margin, crop=crop)
        self._whole = partial(dataset, margin=self.margin)
        used = partial(self._used_frames, frame_range)
        self._spans = {i: (i, *used(len(clip.frames), clip.name)) for i, clip in self.videos.clips.items()}
        self.train_size = self._smallest([*self.train_videos, *self.val_videos], crop)
        self.real_size = self._smallest(self.train_videos)

    @property
    def frame_range(self) -> tuple[int, int]:  # type: ignore[override]
        """That of the first tested clip; those of others may differ."""
        _, first, stop = self._spans[self.test_videos[0]]
        return first, stop

    @property
    def scored(self) -> range:  # type: ignore[override]
        """Of the first tested clip."""
        first, stop = self.frame_range
        return range(first + self.margin, stop - self.margin)

    @property
    def test_size(self) -> tuple[int, int, int]:  # type: ignore[override]
        return self._smallest(self.test_videos)

    def train_dataloader(self) -> DataLoader[HighResBatch]:
        """Random windows of each training clip, randomly cropped."""
        transforms = (8 if self.crop else 4) if self.flips else 1  # whole frames would change their shape
        spans, windows = self._of(self.train_videos), self.windows_per_clip
        plan = partial(training_crops, seed=self.seed, spans=spans, windows=windows, transforms=transforms)
        return self._loader(self._windows, partial(plan, frames=self.frames), self.batch_size, repeat=False)

    def val_dataloader(self) -> DataLoader[HighResBatch]:
        """One fixed window of each held-out or test clip."""
        plan = partial(fixed_crops, spans=self._of(self.val_videos), frames=self.frames)
        return self._loader(self._windows, plan, self.batch_size)

    def test_dataloader(self) -> DataLoader[HighResBatch]:
        """All frames of each test clip that can be scored, one clip or a piece of it per batch and device."""
        plan = partial(whole_clips, spans=self._of(self.test_videos), margin=self.margin, most=self.test_frames)
        return self._loader(self._whole(crop=None), plan, self._devices())

    def test_windows(self, videos: int) -> Batch:
        """Return the center of the picture of at most five scored frames, the middle ones, of the first test clips."""
        spans = self._of(self.test_videos[:videos])
        count = min(SHOWN_FRAMES, (spans[:, 2] - spans[:, 1]).min() - 2 * self.margin)
        spans[:, 1] = (spans[:, 1] + spans[:, 2] - count) // 2 - self.margin
        spans[:, 2] = spans[:, 1] + count + 2 * self.margin
        size = min(SHOWN_SIZE, *self._smallest(spans[:, 0].tolist())[1:])
        plan = whole_clips(0, spans=spans, margin=self.margin, most=None)
        return self.on_after_batch_transfer(self._whole(crop=size - size % self.degradation.scale)[plan], 0)

    def real_frames(self, most: int) -> Iterator[tuple[int, int, torch.Tensor]]:
        for video, frame in spread([self._spans[number] for number in self.train_videos], most):
            height, width = self.videos.clips[video].size
            image = self.videos.read(video, range(frame, frame + 1), (0, 0, width, height))
            yield video, frame, to_unit_range(image[0])

    def _smallest(self, videos: Sequence[int], crop: int | None = None) -> tuple[int, int, int]:
        sizes = zip(*(self.videos.clips[video].size for video in videos), strict=True)
        height, width = (crop or min(side) - min(side) % self.degradation.scale for side in sizes)
        return 1 if self.videos.gray else 3, height, width

    def _of(self, videos: Sequence[int]) -> np.ndarray:
        return np.array([self._spans[number] for number in videos])
