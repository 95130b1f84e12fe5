"""What data modules of videos have in common, wherever the frames come from."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from vsr_lightning.data.loader import HighResBatch, PlanLoader
from vsr_lightning.degradation import Batch, Degradation, to_unit_range
from vsr_lightning.models.network import Takes
from vsr_lightning.utils.checks import check_number


class Identity(Protocol):
    """What identifies a set of videos: a name short enough for tables, a description in a sentence, and a checksum."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def checksum(self) -> str: ...
    def check_unchanged(self) -> None:
        """Raise ValueError if somebody has written to the files in use."""


class VideoData(pl.LightningDataModule):
    """A split, windows or clips of its videos, and degradation on the device.

    Batches are ``Batch(low_res, target, video, frame)``, of frames in [0, 1]. For a network that takes windows: low-res
    (B, frames, C, h, w) and the center frames, (B, C, H, W). For one that takes clips: (B, T, C, h, w) and
    (B, K, C, H, W), all T frames in training, and in tests all but ``unscored_frames`` at each end. Tests serve the
    frames of a video one after the other, under one blur.

    Attributes:
        frames, batch_size: of a window or clip in training; of these per training step, over all devices.
        crop: side of the squares, in high-res pixels, that training takes; None is whole frames.
        margin: frames at each end of a tested video, or piece of one, that are not scored.
        train_margin: frames at each end of a window or clip in training that have no target.
        tests_held_out: whether tests are of the videos that are held out to choose by.
        videos: the videos' identity.
        train_size, test_size: (C, H, W) of the smallest frames that training and validation take, and that tests take.
        real_size: (C, H, W) of the smallest of :meth:`real_frames`.
        frame_range: which of a video's frames are used: the first, and one past the last.
        scored: those of them that a test scores.

    Args:
        train_videos, test_videos: indices of the videos to train on, and to test on; nothing is selected on the latter.
        degradation: what makes a low-res window of a sharp one.
        takes: what the network takes: ``window`` or ``clip``.
        val_videos: how many of the training videos to hold out and validate on; 0 validates on the test videos.
        seed: draws the training windows, together with the epoch and the video.
        frames, batch_size: of a window, an odd number; windows per step, over all devices.
        clip_frames, clip_batch_size: of a training clip; clips per step, over all devices.
        unscored_frames: frames at each end of a test clip that are given and not scored.
        num_workers: loader processes.

    Raises:
        ValueError: a number that is out of range.
    """

    crop: int | None = None
    tests_held_out: bool = False
    videos: Identity
    train_size: tuple[int, int, int]
    test_size: tuple[int, int, int]
    real_size: tuple[int, int, int]
    frame_range: tuple[int, int]
    scored: range

    def __init__(
        self,
        train_videos: Sequence[int],
        test_videos: Sequence[int],
        degradation: Degradation,
        takes: Takes = "window",
        val_videos: int = 0,
        seed: int = 0,
        frames: int = 5,
        batch_size: int = 20,
        clip_frames: int = 20,
        clip_batch_size: int = 4,
        unscored_frames: int = 2,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        check_number("data.val_videos", val_videos, 0, len(train_videos) - 1)
        for key, value in {"seed": seed, "unscored_frames": unscored_frames, "num_workers": num_workers}.items():
            check_number(f"data.{key}", value, 0)
        clips = {"clip_frames": clip_frames, "clip_batch_size": clip_batch_size}
        for key, value in {"frames": frames, "batch_size": batch_size, **clips}.items():
            check_number(f"data.{key}", value, 1)
        if frames % 2 == 0:
            raise ValueError(f"data.frames={frames} has no center frame: choose an odd number")
        self.degradation, self.takes, self.seed, self.num_workers = degradation, takes, seed, num_workers
        if takes == "window":
            self.frames, self.batch_size, self.margin = frames, batch_size, frames // 2
        else:
            self.frames, self.batch_size, self.margin = clip_frames, clip_batch_size, unscored_frames
        self.train_margin = self.margin if takes == "window" else 0
        kept = len(train_videos) - val_videos
        self.train_videos, self.test_videos = train_videos[:kept], test_videos
        self.val_videos = train_videos[kept:] if val_videos else test_videos

    def test_on_held_out(self) -> None:
        """Test the held-out videos instead; ValueError where none are."""
        if self.val_videos == self.test_videos:
            raise ValueError("data.val_videos=0 holds no video out: train with some, or leave out held_out")
        self.test_videos, self.tests_held_out = self.val_videos, True

    def test_windows(self, videos: int) -> Batch:
        """Return the first test videos as they are tested, one after the other, to show."""
        raise NotImplementedError

    def real_frames(self, most: int) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Yield real frames that no test shows: the video, the index there, and (C, H, W) in [0, 1].

        They are of the training videos, whole, at most ``most``, and spread evenly over all frames of these.
        """
        raise NotImplementedError

    def on_after_batch_transfer(self, batch: HighResBatch, dataloader_idx: int) -> Batch:
        """Degrade on the device: each frame once, before it is cropped, and clips are cut into windows."""
        low_res = batch.frames if batch.frames.is_floating_point() else self.degradation.downsample(batch.frames)
        low_res, target = self.degradation.blur(low_res, batch.blur_level), batch.target
        if batch.corner is not None:
            assert self.crop is not None
            scale = self.degradation.scale
            low_res = _cut(low_res, batch.corner // scale, self.crop // scale)
            target = _cut(target, batch.corner, self.crop)
        degraded = Batch(low_res, to_unit_range(target), batch.video, batch.frame)
        return degraded.windows(self.frames) if self.takes == "window" else degraded

    def _used_frames(self, frame_range: Sequence[int] | None, length: int, video: str) -> tuple[int, int]:
        """Return which of a video's frames are used; ValueError if it lacks these, or has too few for what is taken."""
        used = [0, length] if frame_range is None else [*frame_range]
        if len(used) != 2 or not 0 <= used[0] < used[1] <= length:
            raise ValueError(f"data.frame_range={used} is not [first, last + 1] within the {length} frames of {video}")
        key = "frames" if self.takes == "window" else "clip_frames"
        needs = {f"{key}={self.frames}": self.frames, f"unscored_frames={self.margin}": 2 * self.margin + 1}
        advice = "choose a smaller number, or leave shorter videos out"
        for choice, needed in needs.items():
            if needed > (has := used[1] - used[0]):
                raise ValueError(f"data.{choice} needs {needed} frames, {video} has {has}: {advice}")
        return used[0], used[1]

    def _loader(
        self, dataset: Dataset[HighResBatch], plan: Callable[[int], Any], batch: int, repeat: bool = True
    ) -> DataLoader[HighResBatch]:
        return PlanLoader(dataset, plan, batch, self.num_workers, self.trainer, repeat)

    def _devices(self) -> int:
        return self.trainer.world_size if self.trainer else 1


def spread(spans: Sequence[tuple[int, int, int]], most: int) -> Iterator[tuple[int, int]]:
    """Yield at most ``most`` frames, as video and index, evenly spread over spans: video, first frame, its end."""
    places = np.cumsum([0, *(stop - first for _, first, stop in spans)])
    for place in np.linspace(0, places[-1] - 1, min(most, places[-1])).round().astype(int):
        row = np.searchsorted(places, place, side="right") - 1
        video, first, _ = spans[row]
        yield int(video), int(first + place - places[row])


def check_crop(crop: int | None, scale: int, size: tuple[int, int], whose: str) -> None:
    """Raise ValueError unless squares of ``crop`` pixels can be cut out of frames of ``size``, (H, W), and shrunk."""
    if crop is None:
        return
    check_number("data.crop", crop, 1)
    if crop % scale:
        raise ValueError(f"data.crop={crop} can't be divided by data.degradation.scale={scale}")
    if crop > min(size):
        raise ValueError(f"data.crop={crop} is larger than the frames of {whose}, {size[0]}x{size[1]}: lower it")


def _cut(frames: torch.Tensor, corner: torch.Tensor, size: int) -> torch.Tensor:
    """Cut a square out of each of (B, T, C, H, W), with its top and left at ``corner``, (B, 2)."""
    squares = frames.unfold(3, size, 1).unfold(4, size, 1)  # a view
    top, left = corner.unbind(1)
    return squares[torch.arange(len(frames), device=frames.device), :, :, top, left]
