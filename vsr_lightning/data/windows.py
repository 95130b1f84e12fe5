"""Which frames are seen when: pure functions of (seed, epoch, video), so nothing else can change them."""

import mmap
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

Plan = TypeVar("Plan", bound=tuple[np.ndarray, ...])  # a NamedTuple of columns of equal length
Served = TypeVar("Served")
RELEASE_EVERY = 20  # batches: faulting the pages in again costs more than the rest of a batch
WHOLE_SET = 10_000  # drawn for every video, used or not, so that a video's window does not depend on the split


class Windows(NamedTuple):
    """A list of windows: arrays of equal length n.

    Attributes:
        video: (n,) int, number of the video.
        start: (n,) int, its first frame.
        blur: (n,) float32 in [0, 1), the place in the range of blur widths.
    """

    video: np.ndarray
    start: np.ndarray
    blur: np.ndarray


class FrameBatch(NamedTuple):
    """What the loader yields.

    Attributes:
        frames: (B, T, C, H, W) uint8, or (B, T, C, h, w) float in [0, 1] where they were shrunk before.
        target: (B, C, H, W) uint8, the middle frame; or (B, K, C, H, W), the K middle frames of a clip.
        blur: (B,) float32 in [0, 1), the place in the range of blur widths.
    """

    frames: torch.Tensor
    target: torch.Tensor
    blur: torch.Tensor


def training_windows(epoch: int, *, seed: int, videos: range, starts: int) -> Windows:
    """One random window of each video in random order: the first frame is one of ``starts``."""
    first, blur = _draw((seed, epoch), (WHOLE_SET,), starts)
    order = np.random.default_rng((seed, epoch, 1)).permutation(videos)
    return Windows(order, first[order], blur[order])


def fixed_windows(epoch: int, *, videos: range, starts: int) -> Windows:
    """One window of each video, the same in every epoch and every run."""
    first, blur = _draw((0,), (WHOLE_SET,), starts)
    video = np.array(videos)
    return Windows(video, first[video], blur[video])


def whole_videos(epoch: int, *, videos: range) -> Windows:
    """Each video from its first frame, with one blur for all of it, the same in every epoch and every run."""
    start, blur = _draw((1,), (WHOLE_SET,), 1)
    video = np.array(videos)
    return Windows(video, start[video], blur[video])


def _draw(seed: tuple[int, ...], shape: tuple[int, ...], starts: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(starts, size=shape), rng.random(shape, np.float32)


class PlanSampler(Sampler[Plan], Generic[Plan]):
    """Yields whole batches of an epoch's plan; each device takes its share of the same global batch.

    Args:
        plan: epoch -> what to serve, such as :class:`Windows`: columns of equal length.
        batch_size: rows a step, over all devices.
        rank, world_size: this device, and how many there are.

    Raises:
        ValueError: a device would get nothing of some batch.
    """

    def __init__(self, plan: Callable[[int], Plan], batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.plan, self.batch_size, self.rank, self.world_size = plan, batch_size, rank, world_size
        self.epoch = 0
        self.entered_at = (0, 0)  # an epoch, and its first batch where a checkpoint was saved within it
        rows = len(plan(0)[0])
        if min(rows, batch_size) < world_size or 0 < rows % batch_size < world_size:
            raise ValueError(
                f"{rows} windows in batches of {batch_size} leave some of {world_size} devices nothing to do in a "
                "batch: change data.batch_size, the number of videos, or trainer.devices"
            )

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch, also after a resume."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Plan]:
        plan, (epoch, batch) = self.plan(self.epoch), self.entered_at
        begin = batch * self.batch_size if epoch == self.epoch else 0
        for first in range(begin, len(plan[0]), self.batch_size):
            mine = slice(first + self.rank, first + self.batch_size, self.world_size)
            yield type(plan)(*(column[mine] for column in plan))

    def __len__(self) -> int:
        return -(-len(self.plan(0)[0]) // self.batch_size)


class PlanLoader(DataLoader[Served]):
    """A loader of whole batches that a resumed training enters where the checkpoint was saved.

    Args:
        dataset: makes a batch of what the sampler yields.
        sampler: the plan.
        num_workers: processes.
        trainer: whose progress counts.
    """

    sampler: PlanSampler[Any]

    def __init__(
        self, dataset: Dataset[Served], sampler: PlanSampler[Any], num_workers: int, trainer: pl.Trainer | None
    ) -> None:
        # no batch size: the sampler yields whole batches; a generator, to leave the network's own random numbers alone
        super().__init__(
            dataset, batch_size=None, sampler=sampler, num_workers=num_workers, generator=torch.Generator()
        )
        self.trainer = trainer

    def __iter__(self) -> Any:
        if self.trainer:  # Lightning tells a resumed epoch's number too late for workers, who fetch ahead
            progress: Any = self.trainer.fit_loop.epoch_progress.current
            self.sampler.set_epoch(progress.processed)
        return super().__iter__()

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and how many of its batches have been trained on; Lightning puts it into checkpoints."""
        assert self.trainer is not None
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        batch = 0 if progress.is_last_batch else progress.current.ready
        return {"epoch": self.trainer.current_epoch, "batch": batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start that epoch that many batches in, however often Lightning begins to iterate over it."""
        self.sampler.entered_at = (state["epoch"], state["batch"])


def plan_loader(
    dataset: Dataset[Served],
    plan: Callable[[int], Plan],
    batch_size: int,
    num_workers: int,
    trainer: pl.Trainer | None,
) -> DataLoader[Served]:
    """Return a loader in which ``dataset`` makes each batch of the plan in one go, this device's share of it."""
    rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
    return PlanLoader(dataset, PlanSampler(plan, batch_size, rank, world_size), num_workers, trainer)


class Cut(NamedTuple):
    """What a row of a plan stands for.

    Attributes:
        frames: how many one after the other.
        targets: of these, the number of the one to predict, or a slice of several.
    """

    frames: int
    targets: int | slice


class WindowDataset(Dataset[FrameBatch]):
    """Cuts a whole batch of windows out of the videos in one index operation.

    Args:
        videos: (N, T, H, W) uint8.
        cut: what to take of a video for each row of the plan.
        shrunk: (n, T, h, w) float, the frames of some videos once they are shrunk; None leaves that for later.
        first: number of the first of these videos.
    """

    def __init__(self, videos: np.ndarray, cut: Cut, shrunk: torch.Tensor | None = None, first: int = 0) -> None:
        self.videos, self.cut, self.shrunk, self.first = videos, cut, shrunk, first
        self.served = 0

    def __getitem__(self, plan: Windows) -> FrameBatch:
        frames, targets = self.cut
        video, times = plan.video, plan.start[:, None] + np.arange(frames)
        if self.shrunk is None:
            cut = torch.from_numpy(self.videos[video[:, None], times])
            target = cut[:, targets]
        else:
            rows = (video[:, None] - self.first) * self.shrunk.shape[1] + times
            cut = self.shrunk.flatten(0, 1).index_select(0, torch.from_numpy(rows.ravel())).unflatten(0, rows.shape)
            wanted = times[:, targets]
            target = torch.from_numpy(self.videos[video.reshape(-1, *[1] * (wanted.ndim - 1)), wanted])
        self.served += 1
        if self.served % RELEASE_EVERY == 0:
            release(self.videos)
        return FrameBatch(cut.unsqueeze(-3), target.unsqueeze(-3), torch.from_numpy(plan.blur))


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
