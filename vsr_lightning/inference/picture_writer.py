"""Folders of PNG pictures that are written while their frames are made."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import numpy as np
from PIL import Image

DEEP_KINDS = {1: "gray16be", 2: "ya16be", 3: "rgb48be", 4: "rgba64be"}  # FFmpeg's names, by the channels


@contextmanager
def pictures(folder: Path, first: int) -> Iterator[Callable[[np.ndarray, Fraction], object]]:
    """Make the folder, and give a function that writes (H, W, C) of uint8 or uint16 as ``0002.png`` and so on.

    Args:
        folder: must not be there.
        first: number of the first picture.
    """
    folder.mkdir()
    numbers = count(first)
    yield lambda pixels, time: _write(folder / f"{next(numbers):04d}.png", pixels)


def _write(path: Path, pixels: np.ndarray) -> None:
    if pixels.dtype == np.uint8:
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)
    else:
        path.write_bytes(deep_png(pixels))


def deep_png(pixels: np.ndarray) -> bytes:
    """Return (H, W, C) of uint16 as a PNG: Pillow writes 16 bits of gray only."""
    (height, width, channels), context = pixels.shape, av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = width, height, DEEP_KINDS[channels]
    context.time_base = Fraction(1)
    frame = av.VideoFrame(width, height, DEEP_KINDS[channels])
    (plane,) = frame.planes
    rows = np.zeros((height, plane.line_size), np.uint8)  # FFmpeg's are longer than ours
    bytes_of = np.ascontiguousarray(pixels, ">u2").view(np.uint8).reshape(height, -1)
    rows[:, : bytes_of.shape[1]] = bytes_of
    plane.update(rows.tobytes())
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))
