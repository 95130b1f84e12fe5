"""Loading by whole batches.

For each step the sampler yields the index of a whole batch, a NamedTuple of columns with one row per window (which
video, which first frame, how blurred), and ``dataset[index]`` makes that batch in one NumPy operation; hence
``batch_size=None``. The columns of a whole epoch are its *plan*, a pure function of seed and epoch, so that neither
workers, nor devices, nor a resume can change which windows are seen: a device takes every ``world_size``-th row of each
batch, and a resumed training enters the plan at the batch where it left.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

Plan = TypeVar("Plan", bound=tuple[np.ndarray, ...])  # a NamedTuple of columns of equal length
Served = TypeVar("Served")


class HighResBatch(NamedTuple):
    """What the loader yields.

    Attributes:
        frames: (B, T, C, H, W) uint8, or (B, T, C, h, w) float in [0, 1] where they were downsampled before.
        target: (B, K, C, H, W) uint8, the K center frames: of a training window one.
        video: (B, K) int64, index of the video that each target belongs to; ``~video`` for a repeated one, see
            :class:`PlanSampler`.
        frame: (B, K) int64, index of the target within its video.
        blur_level: (B,) float32 in [0, 1), where the window's sigma lies in the range of blur widths.
        corner: (B, 2) int64, top and left, in the target, of what is cut out once the frames are degraded; None leaves
            them whole.
    """

    frames: torch.Tensor
    target: torch.Tensor
    video: torch.Tensor
    frame: torch.Tensor
    blur_level: torch.Tensor
    corner: torch.Tensor | None = None


class PlanSampler(Sampler[Plan], Generic[Plan]):
    """Yields whole batches of an epoch's plan; each device takes its share of the same global batch.

    Args:
        plan: epoch -> what to serve, such as :class:`vsr_lightning.data.windows.WindowPlan`.
        batch_size: rows per step, over all devices.
        rank, world_size: this device, and how many there are.
        repeat: whether a device without a row in some batch gets the batch's first one again, to keep step with the
            others; its ``video`` is then inverted, ``~video``, since it must not count twice.

    Raises:
        ValueError: a device would get nothing of some batch, and ``repeat`` is off.
    """

    def __init__(
        self, plan: Callable[[int], Plan], batch_size: int, rank: int = 0, world_size: int = 1, repeat: bool = False
    ) -> None:
        self.plan, self.batch_size, self.rank, self.world_size = plan, batch_size, rank, world_size
        self.epoch = 0
        self.entered_at = (0, 0)  # an epoch, and its first batch where a checkpoint was saved within it
        rows = len(plan(0)[0])
        if not repeat and (min(rows, batch_size) < world_size or 0 < rows % batch_size < world_size):
            idle = f"leave some of {world_size} devices nothing to do in a batch"
            advice = "change data.batch_size, the number of videos, or trainer.devices"
            raise ValueError(f"{rows} windows in batches of {batch_size} {idle}: {advice}")

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch, also after a resume."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Plan]:
        plan, (epoch, batch) = self.plan(self.epoch), self.entered_at
        begin = batch * self.batch_size if epoch == self.epoch else 0
        for first in range(begin, len(plan[0]), self.batch_size):
            mine = range(first + self.rank, min(first + self.batch_size, len(plan[0])), self.world_size)
            share = type(plan)(*(column[mine or [first]] for column in plan))
            yield share if mine else share._replace(video=~share.video)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return -(-len(self.plan(0)[0]) // self.batch_size)


class PlanLoader(DataLoader[Served]):
    """A loader of whole batches that a resumed training enters where the checkpoint was saved.

    Args:
        dataset: makes a batch of this device's share of a plan's rows, in one go.
        plan, batch_size, repeat: see :class:`PlanSampler`.
        num_workers, trainer: processes; whose devices share the batches, and whose progress counts.
    """

    sampler: PlanSampler[Any]

    def __init__(
        self,
        dataset: Dataset[Served],
        plan: Callable[[int], tuple[np.ndarray, ...]],
        batch_size: int,
        num_workers: int,
        trainer: pl.Trainer | None,
        repeat: bool = False,
    ) -> None:
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        sampler = PlanSampler(plan, batch_size, rank, world_size, repeat)
        rng = torch.Generator()  # one of its own, to leave the network's random numbers alone
        super().__init__(dataset, batch_size=None, sampler=sampler, num_workers=num_workers, generator=rng)
        self.trainer = trainer

    def __iter__(self) -> Any:
        if self.trainer:
            # Lightning sets a resumed epoch too late for workers, who fetch ahead; its public `current_epoch` is one
            # behind where the checkpoint was saved at the end of an epoch
            progress: Any = self.trainer.fit_loop.epoch_progress.current
            self.sampler.set_epoch(progress.processed)
        return super().__iter__()

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, and how many of its batches were trained on, 0 after all; Lightning saves this."""
        assert self.trainer is not None
        batch = 0 if self.trainer.is_last_batch else self.trainer.fit_loop.batch_idx + 1
        return {"epoch": self.trainer.current_epoch, "batch": batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start that epoch that many batches in, however often Lightning begins to iterate over it."""
        self.sampler.entered_at = (state["epoch"], state["batch"])
