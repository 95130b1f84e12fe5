"""Videos as ``.npy`` arrays."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from vsr_lightning.inference.video import Format, Frame, Video

EXPECTED = "(T, H, W), or (T, H, W, C) with 1 to 4 channels, of uint8, uint16, or float in [0, 1]"


def open_array(path: Path) -> Video:
    """Open an array without reading it, as :data:`EXPECTED`; channels are gray or RGB, alpha comes last.

    Raises:
        ValueError: it is another one.
    """
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"input={path} can't be read as .npy ({error}); expected {EXPECTED}") from error
    if not isinstance(frames, np.ndarray):
        raise ValueError(f"input={path} holds several arrays; expected one, {EXPECTED}")
    pictures = frames.ndim == 3 or (frames.ndim == 4 and 1 <= frames.shape[-1] <= 4)
    if not pictures or not (frames.dtype in (np.uint8, np.uint16) or np.issubdtype(frames.dtype, np.floating)):
        raise ValueError(f"input={path} is {frames.shape} of {frames.dtype}; expected {EXPECTED}")
    if not len(frames):
        raise ValueError(f"input={path} holds no frame")
    frames = frames if frames.ndim == 4 else frames[..., None]
    white = np.iinfo(frames.dtype).max if frames.dtype in (np.uint8, np.uint16) else 1
    height, width, channels = frames.shape[1:]
    return Video(path, (height, width, channels), len(frames), Format(white=white), partial(_frames, frames))


def _frames(frames: np.ndarray, bad: list[str]) -> Iterator[Frame]:
    yield from map(Frame, map(np.array, frames))


@contextmanager
def array(path: Path, shape: tuple[int, ...], deep: bool) -> Iterator[Callable[[np.ndarray, Fraction], object]]:
    """Give a function that writes (H, W, C) of integers as they come; gray ones become (T, H, W)."""
    dtype = np.dtype("<u2" if deep else "|u1")
    shape = shape[:2] if shape[2] == 1 else shape
    header = {"descr": dtype.str, "fortran_order": False}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": (0, *shape)})
        begin = file.tell()
        yield lambda pixels, time: file.write(np.ascontiguousarray(pixels, dtype).data)
        length = (file.tell() - begin) // (math.prod(shape) * dtype.itemsize)
        file.seek(0)  # the header has room for the first axis to grow
        np.lib.format.write_array_header_1_0(file, header | {"shape": (length, *shape)})
