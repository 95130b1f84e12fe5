"""Super-resolve a video of any length and frame size."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain

import torch
from rich.progress import Progress
from torch import Tensor

from vsr_lightning.degradation import to_unit_range
from vsr_lightning.inference.chunking import ClipChunks, WindowChunks
from vsr_lightning.inference.color import predict_any_color
from vsr_lightning.inference.tiling import AUTO, fitting_tiles, tiles
from vsr_lightning.models import Network

CHUNK = 64  # windows at once, if frames are small
PIXELS_AT_ONCE = 2**18  # low-res pixels of the windows at once, if frames are large: a few hundred MB at 64 channels
Finish = Callable[[Tensor], Tensor]
LONG = 1000  # frames of 64x64 pixels, or as much work, from which on a progress bar is shown


def in_unit_range(images: Tensor) -> Tensor:
    """Return images as they are scored: clamped to [0, 1], in float32, on the CPU."""
    return images.detach().float().clamp(0, 1).cpu()


@torch.no_grad()
def super_resolve(
    network: Network,
    video: Iterable[Tensor],
    frames: int = 5,
    *,
    temporal_padding: str = "crop",
    clip_frames: int = 30,
    clip_overlap: int = 5,
    tile: int | str | None = None,
    tile_overlap: int = 16,
    length: int | None = None,
    dtype: torch.dtype = torch.float32,
    finish: Finish = in_unit_range,
) -> Iterator[Tensor]:
    """Predict a video frame by frame, (C, H, W) each, in chunks of frames and tiles of these, which bound the memory.

    A progress bar is shown if it may take long. ``torch.stack([*super_resolve(network, video)])`` is the whole video.
    ValueError where an argument is out of range, or the video has fewer frames than a window.

    Args:
        network: see :class:`vsr_lightning.models.Network`; frames go to the device of its parameters.
        video: low-res frames, (C, h, w) each with C = 1 or 3, uint8 or float in [0, 1].
        frames: of a window, odd; for networks that take windows.
        temporal_padding: see :class:`WindowChunks`.
        clip_frames: frames of a chunk, for networks that take clips; see :class:`ClipChunks`.
        clip_overlap: its frames of context.
        tile: largest height and width taken at once, in low-res pixels; None is whole frames, ``auto`` is
            :func:`fitting_tiles`.
        tile_overlap: low-res pixels of surroundings of a tile.
        length: number of frames, for the progress bar; None if unknown.
        dtype: what the network computes in, where it is safe; see
            :func:`vsr_lightning.utils.precision.fast_precision` for what is fast.
        finish: what is kept of the prediction of a tile, (T, C, H, W); by default float in [0, 1] on the CPU.
    """
    video = iter(video)
    first = next(video)
    height, width = first.shape[-2:]
    if tile == AUTO:
        parts = fitting_tiles(network, height, width, tile_overlap)
    elif tile is None or isinstance(tile, int):
        parts = tiles(height, width, None if network.size else tile, tile_overlap)
    else:
        raise ValueError(f"tile={tile} is no side of a tile: give low-res pixels, {AUTO}, or null")
    chunking: WindowChunks | ClipChunks
    if network.takes == "clip":
        chunking = ClipChunks(clip_frames, clip_overlap)
    else:
        largest = max(part.pixels for part in parts)
        chunking = WindowChunks(frames, temporal_padding, max(1, min(CHUNK, PIXELS_AT_ONCE // largest)))
    device = next((parameter.device for parameter in network.parameters()), first.device)
    video = chain(iter([first]), video)
    del first  # a frame is let go once its chunk is done
    work = None if length is None else length * max(1, height * width // 64**2)
    half = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
    with Progress(disable=work is not None and work < LONG) as progress:
        task = progress.add_task("super-resolving", total=length and chunking.count(length) * len(parts))
        for chunk, kept in chunking.chunks(video):
            whole = None
            for part in parts:
                low_res = to_unit_range(part.cut(chunk).to(device)).float()
                with half:
                    predicted = predict_any_color(partial(chunking.predict, network), low_res, network.channels)
                prediction, scale = finish(predicted), predicted.shape[-1] // low_res.shape[-1]
                if whole is None:
                    whole = prediction.new_empty(*prediction.shape[:-2], scale * height, scale * width)
                part.paste(prediction, whole, scale)
                progress.advance(task)
            assert whole is not None
            yield from whole[kept]
