"""Super-resolve a video of any length and size: in chunks of frames, in tiles of frames."""

from collections.abc import Iterable, Iterator

import torch
from rich.progress import Progress
from torch import Tensor, nn

from vsr_lightning.inference.chunking import ClipChunks, Step, WindowChunks
from vsr_lightning.inference.frames import in_unit_range
from vsr_lightning.inference.tiling import parts, tiled

CHUNK = 64  # windows at once, if frames are small
PIXELS = 2**18  # low-res pixels of the windows at once, if frames are large: a few hundred MB at 64 channels
LONG = 1000  # frames of 64x64 pixels, or as much work, from which on a progress bar is shown


def super_resolve(network: nn.Module, low_res: Tensor, frames: int = 5, temporal_padding: str = "crop") -> Tensor:
    """Predict every frame that has a whole window around it, or all.

    Args:
        network: (B, frames, C, h, w) -> (B, C, H, W), see :class:`Windows`.
        low_res: (T, C, h, w) in [0, 1], on the network's device.
        frames: of a window, odd.
        temporal_padding: ``crop`` leaves ``frames // 2`` frames out at each end; ``replicate``
            repeats the first and last frame.

    Returns:
        (T - frames + 1, C, H, W), or (T, C, H, W) where edges are replicated; on the CPU, clamped to [0, 1].

    Raises:
        ValueError: unknown ``temporal_padding``, or fewer frames than a window.
    """
    height, width = low_res.shape[-2:]
    windows = WindowChunks(frames, temporal_padding, windows_at_once(height, width))
    predict = windows.step(network)

    def step(chunk: Tensor) -> Tensor:
        return in_unit_range(predict(chunk))

    return torch.stack([*stream(step, low_res, windows, (height, width), length=len(low_res))])


def stream(
    step: Step,
    video: Iterable[Tensor],
    cut: WindowChunks | ClipChunks,
    size: tuple[int, int],
    tile: int | None = None,
    overlap: int = 16,
    length: int | None = None,
) -> Iterator[Tensor]:
    """Predict frame by frame, while memory is bounded by a chunk; a progress bar is shown if it may take long.

    Args:
        step: what is done with a tile of a chunk, (T, C, h, w) -> (T', C, H, W), after ``cut.step(network)``.
        video: frames, (C, h, w) each.
        cut: how the network takes frames.
        size: height and width of the frames.
        tile: largest height and width taken at once, None is any; see :func:`tiled`.
        overlap: low-res pixels around a tile.
        length: number of frames, None if unknown.

    Returns:
        Frames, (C, H, W) each, as ``step`` leaves them.
    """
    height, width = size
    work = None if length is None else length * max(1, height * width // 64**2)
    tiles = len(parts(height, tile)) * len(parts(width, tile)) if tile else 1
    with Progress(disable=work is not None and work < LONG) as progress:
        task = progress.add_task("super-resolving", total=length and cut.count(length) * tiles)

        def counted(frames: Tensor) -> Tensor:
            made = step(frames)
            progress.advance(task)
            return made

        whole = tiled(counted, tile, overlap)
        for chunk, kept in cut.chunks(video):
            yield from whole(chunk)[kept]


def windows_at_once(height: int, width: int) -> int:
    """Return how many windows of such frames, or tiles, to predict at once."""
    return max(1, min(CHUNK, PIXELS // (height * width)))
