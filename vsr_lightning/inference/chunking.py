"""Videos of any length in chunks: for networks that take windows, and for those that take clips."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import cast

import torch
from torch import Tensor, nn

from vsr_lightning.models.network import check_prediction

Step = Callable[[Tensor], Tensor]
Chunk = tuple[Tensor, slice]  # (T, C, h, w), and which of what is made of it counts
PADDINGS = ("crop", "replicate")


@dataclass(frozen=True)
class WindowChunks:
    """For a network that predicts the middle frame of a window, (B, frames, C, h, w) -> (B, C, H, W).

    One with ``encode``, (N, C, h, w) -> (N, ...), and ``fuse``, (B, T, ...) -> (B, C, H, W), is called through them, so
    that a frame which is in five windows of a chunk is encoded once.

    Args:
        frames: of a window, odd.
        edges: ``crop`` leaves ``frames // 2`` frames out at each end; ``replicate`` repeats the first and last frame.
        at_once: windows of a chunk.

    Raises:
        ValueError: unknown ``edges``.
    """

    frames: int = 5
    temporal_padding: str = "crop"
    at_once: int = 64

    def __post_init__(self) -> None:
        if self.temporal_padding not in PADDINGS:
            raise ValueError(
                f"temporal_padding={self.temporal_padding} is unknown: choose one of {', '.join(PADDINGS)}"
            )

    def step(self, network: nn.Module) -> Step:
        """Return (T, C, h, w) -> (T - frames + 1, C, H, W)."""
        split = hasattr(network, "encode") and hasattr(network, "fuse")
        encode, fuse = cast(tuple[Step, Step], (network.encode, network.fuse) if split else (nn.Identity(), network))

        @torch.no_grad()
        def predict(frames: Tensor) -> Tensor:
            windows = encode(frames).unfold(0, self.frames, 1).movedim(-1, 1)
            return check_prediction(fuse(windows), "window")

        return predict

    def chunks(self, video: Iterable[Tensor]) -> Iterator[Chunk]:
        """Stack frames, (C, h, w) each; ValueError if they are fewer than a window."""
        around = self.frames - 1
        if self.temporal_padding == "replicate":
            video = _replicated(video, around // 2)
        for frames, _, _ in _overlapping(video, self.at_once + around, around):
            if len(frames) < self.frames:
                raise ValueError(
                    f"the video has {len(frames)} frames, a window {self.frames}: give more, "
                    "or temporal_padding=replicate"
                )
            yield frames, slice(None)

    def count(self, length: int) -> int:
        """Return how many chunks there are."""
        return -(-(length if self.temporal_padding == "replicate" else length - self.frames + 1) // self.at_once)


@dataclass(frozen=True)
class ClipChunks:
    """For a network that predicts every frame of what it is given, (B, T, C, h, w) -> (B, T, C, H, W).

    Args:
        frames: at most so many at once; a video up to that long is taken whole.
        context: frames that a chunk has in common with what is predicted of the next, on each side of the cut.

    Raises:
        ValueError: the context leaves nothing of a chunk.
    """

    frames: int = 30
    context: int = 5

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.context < self.frames:
            raise ValueError(
                f"clip_frames={self.frames} is too few for clip_overlap={self.context}: choose more than twice as many"
            )

    def step(self, network: nn.Module) -> Step:
        """Return (T, C, h, w) -> (T, C, H, W)."""

        @torch.no_grad()
        def predict(frames: Tensor) -> Tensor:
            return check_prediction(network(frames[None]), "clip")[0]

        return predict

    def chunks(self, video: Iterable[Tensor]) -> Iterator[Chunk]:
        """Stack frames, (C, h, w) each."""
        for frames, first, last in _overlapping(video, self.frames, 2 * self.context):
            yield frames, slice(0 if first else self.context, None if last else self.frames - self.context)

    def count(self, length: int) -> int:
        """Return how many chunks there are."""
        return 1 + max(0, -(-(length - self.frames) // (self.frames - 2 * self.context)))


def _overlapping(video: Iterable[Tensor], size: int, overlap: int) -> Iterator[tuple[Tensor, bool, bool]]:
    """Stack up to ``size`` frames, the first ``overlap`` of which end the stack before; is it the first, the last?"""
    held: list[Tensor] = []
    first = True
    for frame in video:
        if len(held) == size:
            yield torch.stack(held), first, False
            first, held = False, held[size - overlap :]
        held.append(frame)
    yield torch.stack(held), first, True


def _replicated(video: Iterable[Tensor], times: int) -> Iterator[Tensor]:
    video = iter(video)
    frame = next(video)
    yield from repeat(frame, times + 1)
    for frame in video:
        yield frame
    yield from repeat(frame, times)
