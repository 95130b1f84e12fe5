"""Grey videos in and out: ``.npy``, a folder of PNG frames, GIF and MP4."""

import os
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

KINDS = (".npy", ".gif", ".mp4")


def read_video(path: Path) -> np.ndarray:
    """Read a video as grey frames; colour is turned to grey (luminance).

    Args:
        path: ``.npy`` (T, H, W) of uint8, or of float in [0, 1]; a folder of PNG frames, in the order of the numbers in
            their names; ``.gif`` or ``.mp4``.

    Returns:
        (T, H, W), uint8, or float as the file has it.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: another kind of file, a damaged one, frames of different sizes, or none.
    """
    if not path.exists():
        raise FileNotFoundError(f"input={path} is missing")
    try:
        frames = _read_folder(path) if path.is_dir() else _READERS[_kind(path, "input")](path)
    except (OSError, EOFError, IndexError, UnidentifiedImageError, av.FFmpegError) as error:
        raise ValueError(f"input={path} can't be read: it is damaged, or not what its name says ({error})") from error
    if not len(frames):
        raise ValueError(f"input={path} holds no frame" + (": put PNG frames there" if path.is_dir() else ""))
    if len(sizes := {np.shape(frame) for frame in frames}) > 1:
        raise ValueError(f"input={path} has frames of different sizes: {sorted(sizes)}")
    return np.asarray(frames)


def write_video(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write (T, H, W) uint8 frames by the name's suffix; without one a folder of PNG frames.

    All kinds but ``.mp4`` are exact. The file or folder is whole or not there.

    Raises:
        FileExistsError: there is something of that name.
        ValueError: another suffix.
    """
    check_output(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        _WRITERS[path.suffix.lower()](part, frames, fps)
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Refuse a name that can't be written; see :func:`write_video`."""
    if path.suffix:
        _kind(path, "output")
    if path.exists():
        raise FileExistsError(f"output={path} exists: choose another name")


def _kind(path: Path, key: str) -> str:
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"{key}={path} is of no known kind: give {', '.join(KINDS)} or a folder of PNG frames")
    return path.suffix.lower()


def _read_npy(path: Path) -> np.ndarray:
    expected = "(T, H, W) of uint8, or of float in [0, 1]"
    try:
        frames: np.ndarray = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"input={path} can't be read as .npy ({error}); expected {expected}") from error
    if not isinstance(frames, np.ndarray):
        raise ValueError(f"input={path} holds several arrays; expected one, {expected}")
    if frames.ndim != 3 or not (frames.dtype == np.uint8 or np.issubdtype(frames.dtype, np.floating)):
        raise ValueError(f"input={path} is {frames.shape} of {frames.dtype}; expected {expected}")
    return frames


def _read_folder(path: Path) -> list[np.ndarray]:
    files = [file for file in path.iterdir() if file.suffix.lower() == ".png"]
    return [_grey(Image.open(file)) for file in sorted(files, key=_number)]


def _number(file: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", file.stem)], file.name


def _read_gif(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        return [_grey(frame) for frame in ImageSequence.Iterator(image)]


def _grey(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        raise ValueError("the input has frames of more than 8 bits: convert them to 8 bits first")
    return np.array(image.convert("L"))


def _read_mp4(path: Path) -> list[np.ndarray]:
    with av.open(path) as file:
        return [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]


def _write_npy(path: Path, frames: np.ndarray, fps: float) -> None:
    with path.open("wb") as file:
        np.save(file, frames)


def _write_folder(path: Path, frames: np.ndarray, fps: float) -> None:
    path.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"{number:04d}.png")


def _write_gif(path: Path, frames: np.ndarray, fps: float) -> None:
    _encode(path, frames, fps, "gif", "gray", {})  # Pillow's writer would drop frames that equal the one before


def _write_mp4(path: Path, frames: np.ndarray, fps: float) -> None:
    even = np.pad(frames, [(0, 0), *((0, size % 2) for size in frames.shape[1:])], mode="edge")  # as the codec needs it
    _encode(path, even, fps, "libx264", "yuv420p", {"crf": "12"})


def _encode(path: Path, frames: np.ndarray, fps: float, codec: str, pixels: str, options: dict[str, str]) -> None:
    with av.open(path, "w") as file:
        stream: Any = file.add_stream(codec, rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = pixels
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="gray")))
        file.mux(stream.encode())


_READERS: dict[str, Callable[[Path], np.ndarray | list[np.ndarray]]] = {
    ".npy": _read_npy,
    ".gif": _read_gif,
    ".mp4": _read_mp4,
}
_WRITERS: dict[str, Callable[[Path, np.ndarray, float], None]] = {
    "": _write_folder,
    ".npy": _write_npy,
    ".gif": _write_gif,
    ".mp4": _write_mp4,
}
