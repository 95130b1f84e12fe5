"""Videos that are written while they are made: ``.npy``, a folder of PNG frames, GIF and MP4."""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from vsr_lightning.inference.video_reader import kind

Write = Callable[[np.ndarray], object]
Rate = Fraction | float


def write_video(path: Path, frames: Iterable[np.ndarray], fps: Rate, first: int = 0) -> tuple[int, ...]:
    """Write frames as they come, by the name's suffix, and return the video's shape, (T, H, W) or (T, H, W, 3).

    Without a suffix it is a folder of PNG frames. ``.npy`` and PNG are exact, GIF is where the frames are gray: in
    color each frame has a palette of 256. The file or folder is whole or not there.
    FileExistsError where there is something of that name, ValueError for another suffix or other frames.

    Args:
        path: where.
        frames: (H, W) gray or (H, W, 3) color each, uint8.
        fps: frames per second of a ``.gif`` or ``.mp4``.
        first: number of the first PNG frame.
    """
    check_output(path)
    frames = iter(frames)
    begin = next(frames)  # before anything is made: what can't be computed leaves no folder behind
    shape = begin.shape
    if len(shape) != 2 and shape[2:] != (3,):
        raise ValueError(f"frames of {shape} can't be written: give (H, W), gray, or (H, W, 3), color")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    length = 0
    try:
        writer = _WRITERS[path.suffix.lower()](part, shape, fps) if path.suffix else _folder(part, first)
        with writer as write:
            for frame in chain([begin], frames):
                write(frame)
                length += 1
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)
    return (length, *shape)


def check_output(path: Path) -> None:
    """Refuse a name that can't be written; see :func:`write_video`."""
    if path.suffix:
        kind(path, "output")
    if path.exists():
        raise FileExistsError(f"output={path} exists: choose another name")


@contextmanager
def _npy(path: Path, shape: tuple[int, ...], fps: Rate) -> Iterator[Write]:
    header = {"descr": "|u1", "fortran_order": False}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": (0, *shape)})
        begin = file.tell()
        yield lambda frame: file.write(np.ascontiguousarray(frame, np.uint8).data)
        length = (file.tell() - begin) // math.prod(shape)
        file.seek(0)  # the header has room for the first axis to grow
        np.lib.format.write_array_header_1_0(file, header | {"shape": (length, *shape)})


@contextmanager
def _folder(path: Path, first: int) -> Iterator[Write]:
    path.mkdir()
    numbers = count(first)
    yield lambda frame: Image.fromarray(frame).save(path / f"{next(numbers):04d}.png")


@contextmanager
def _gif(path: Path, shape: tuple[int, ...], fps: Rate) -> Iterator[Write]:
    with av.open(path, "w") as file:  # Pillow's writer would drop frames that equal the one before
        stream = _stream(file, "gif", shape, fps, "gray" if len(shape) == 2 else "pal8")
        yield lambda frame: file.mux(stream.encode(_gray(frame) if frame.ndim == 2 else _with_palette(frame)))
        file.mux(stream.encode())


@contextmanager
def _mp4(path: Path, shape: tuple[int, ...], fps: Rate) -> Iterator[Write]:
    even = [(0, shape[0] % 2), (0, shape[1] % 2), (0, 0)][: len(shape)]  # as the codec needs it
    with av.open(path, "w") as file:
        stream = _stream(file, "libx264", [size + more for size, (_, more) in zip(shape, even, strict=True)], fps)
        context = stream.codec_context
        context.options = {"crf": "12"}
        context.colorspace = context.color_primaries = context.color_trc = Colorspace.ITU709  # what players take HD for
        context.color_range = ColorRange.MPEG
        convert = _gray if len(shape) == 2 else _as_hd
        yield lambda frame: file.mux(stream.encode(convert(np.pad(frame, even, mode="edge"))))
        file.mux(stream.encode())


def _stream(file: Any, codec: str, shape: Sequence[int], fps: Rate, pixels: str = "yuv420p") -> Any:
    stream = file.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))  # 30000/1001 is a common rate
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = pixels
    return stream


def _gray(frame: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="gray")


def _as_hd(frame: np.ndarray) -> av.VideoFrame:
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def _with_palette(frame: np.ndarray) -> av.VideoFrame:
    image = Image.fromarray(frame).quantize(256)
    colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
    palette[: len(colors), 1:] = colors
    indexed: Any = (np.array(image), palette)  # PyAV's types know of arrays only
    return av.VideoFrame.from_ndarray(indexed, format="pal8")


_Writer = Callable[[Path, tuple[int, ...], Rate], AbstractContextManager[Write]]
_WRITERS: dict[str, _Writer] = {".npy": _npy, ".gif": _gif, ".mp4": _mp4}
