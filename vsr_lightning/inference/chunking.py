"""Videos of any length in chunks: for networks that take windows, and for those that take clips."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn

from vsr_lightning.models.network import check_prediction, encodes_frames

Chunk = tuple[Tensor, slice]  # low-res frames (T, C, h, w), and the slice of their predictions to keep


@dataclass(frozen=True)
class WindowChunks:
    """For a network that predicts the center frame of a window, (B, frames, C, h, w) -> (B, C, H, W).

    A network with the methods ``encode``, (N, C, h, w) -> (N, ...), and ``fuse``, (B, T, ...) -> (B, C, H, W), is
    called through these, so that a frame which is in five windows of a chunk is encoded once.

    Args:
        frames: of a window, odd.
        temporal_padding: ``crop`` leaves ``frames // 2`` frames out at each end; ``replicate`` repeats the first and
            the last frame; anything else is a ValueError.
        at_once: windows of a chunk.
    """

    frames: int = 5
    temporal_padding: str = "crop"
    at_once: int = 64

    def __post_init__(self) -> None:
        if self.temporal_padding not in ("crop", "replicate"):
            raise ValueError(f"temporal_padding={self.temporal_padding} is unknown: choose one of crop, replicate")

    def predict(self, network: Any, frames: Tensor) -> Tensor:
        """(T, C, h, w) -> (T - frames + 1, C, H, W)."""
        encode, fuse = (network.encode, network.fuse) if encodes_frames(network) else (nn.Identity(), network)
        windows = encode(frames).unfold(0, self.frames, 1).movedim(-1, 1)
        return check_prediction(fuse(windows), "window")

    def chunks(self, video: Iterable[Tensor]) -> Iterator[Chunk]:
        """Stack frames, (C, h, w) each; ValueError if they are fewer than a window."""
        around = self.frames - 1
        if self.temporal_padding == "replicate":
            video = _replicated(video, around // 2)
        for frames, _, _ in _overlapping(video, self.at_once + around, around):
            if len(frames) < self.frames:
                few = f"the video has {len(frames)} frames, a window {self.frames}"
                raise ValueError(f"{few}: give more, or temporal_padding=replicate")
            yield frames, slice(None)

    def count(self, length: int) -> int:
        """Return the number of chunks of a video of ``length`` frames."""
        return -(-(length if self.temporal_padding == "replicate" else length - self.frames + 1) // self.at_once)


@dataclass(frozen=True)
class ClipChunks:
    """For a network that predicts every frame of a clip, (B, T, C, h, w) -> (B, T, C, H, W).

    Args:
        frames: the most frames of a chunk; a video up to that long is taken whole.
        context: frames that neighboring chunks share on each side of a cut; each prediction is kept once. ValueError
            where they leave nothing of a chunk.
    """

    frames: int = 30
    context: int = 5

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.context < self.frames:
            few = f"clip_frames={self.frames} is too few for clip_overlap={self.context}"
            raise ValueError(f"{few}: choose more than twice as many")

    def predict(self, network: nn.Module, frames: Tensor) -> Tensor:
        """(T, C, h, w) -> (T, C, H, W)."""
        return check_prediction(network(frames[None]), "clip")[0]

    def chunks(self, video: Iterable[Tensor]) -> Iterator[Chunk]:
        """Stack frames, (C, h, w) each."""
        for frames, is_first, is_last in _overlapping(video, self.frames, 2 * self.context):
            yield frames, slice(0 if is_first else self.context, None if is_last else self.frames - self.context)

    def count(self, length: int) -> int:
        """Return the number of chunks of a video of ``length`` frames."""
        return 1 + max(0, -(-(length - self.frames) // (self.frames - 2 * self.context)))


def _overlapping(video: Iterable[Tensor], size: int, overlap: int) -> Iterator[tuple[Tensor, bool, bool]]:
    """Yield (frames, is_first, is_last): stacks of at most ``size`` frames; neighbors share ``overlap`` frames."""
    held: list[Tensor] = []
    is_first = True
    for frame in video:
        if len(held) == size:
            yield torch.stack(held), is_first, False
            is_first, held = False, held[size - overlap :]
        held.append(frame)
    yield torch.stack(held), is_first, True


def _replicated(video: Iterable[Tensor], times: int) -> Iterator[Tensor]:
    video = iter(video)
    frame = next(video)
    yield from repeat(frame, times + 1)
    for frame in video:
        yield frame
    yield from repeat(frame, times)
