"""Videos that are read while they are used: ``.npy``, a folder of PNG frames, GIF and MP4."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image, ImageSequence, UnidentifiedImageError

KINDS = (".npy", ".gif", ".mp4")
GRAY_MODES = ("1", "L", "LA")
UNKNOWN_COLORS = 2  # AVCOL_SPC_UNSPECIFIED


@dataclass(frozen=True)
class Video:
    """Frames that are read anew, one at a time, whenever one goes through them.

    Attributes:
        path: where they are.
        shape: of a frame, (H, W) gray or (H, W, 3) color; uint8, or float as an ``.npy`` file has it.
        length: how many, None where the file does not tell.
        fps: frames per second, None where the file does not tell.
        frames: begins to read.
    """

    path: Path
    shape: tuple[int, ...]
    length: int | None
    fps: Fraction | None
    frames: Callable[[], Iterator[np.ndarray]]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Raise ValueError where the file turns out to be damaged, or its frames of different sizes."""
        with _readable(self.path):
            for frame in self.frames():
                _check_sizes(self.path, {self.shape, frame.shape})
                yield frame


def open_video(path: Path) -> Video:
    """Look at a video, gray or in color; a GIF or MP4 is in color where any of its frames is.

    Args:
        path: ``.npy`` (T, H, W) or (T, H, W, 3) of uint8, or of float in [0, 1]; a folder of PNG frames, in the order
            of the numbers in their names; ``.gif`` or ``.mp4``.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: another kind of file, a damaged one, frames of different sizes, or none.
    """
    if not path.exists():
        raise FileNotFoundError(f"input={path} is missing")
    with _readable(path):
        video = _open_folder(path) if path.is_dir() else _OPENERS[kind(path, "input")](path)
    if video.length == 0:
        raise ValueError(f"input={path} holds no frame" + (": put PNG frames there" if path.is_dir() else ""))
    return video


def read_video(path: Path) -> np.ndarray:
    """Return all frames of :func:`open_video` at once, (T, H, W) or (T, H, W, 3)."""
    return np.stack(list(open_video(path)))


def kind(path: Path, key: str) -> str:
    """Return a file's suffix if it is one of a video (or ValueError)."""
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"{key}={path} is of no known kind: give {', '.join(KINDS)} or a folder of PNG frames")
    return path.suffix.lower()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, IndexError, UnidentifiedImageError, av.FFmpegError) as error:
        raise ValueError(f"input={path} can't be read: it is damaged, or not what its name says ({error})") from error


def _check_sizes(path: Path, sizes: set[tuple[int, ...]]) -> None:
    if len(sizes) > 1:
        raise ValueError(f"input={path} has frames of different sizes: {sorted(sizes)}")


def _open_npy(path: Path) -> Video:
    expected = "(T, H, W) or (T, H, W, 3) of uint8, or of float in [0, 1]"
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"input={path} can't be read as .npy ({error}); expected {expected}") from error
    if not isinstance(frames, np.ndarray):
        raise ValueError(f"input={path} holds several arrays; expected one, {expected}")
    pictures = frames.ndim == 3 or (frames.ndim == 4 and frames.shape[-1] == 3)
    if not pictures or not (frames.dtype == np.uint8 or np.issubdtype(frames.dtype, np.floating)):
        raise ValueError(f"input={path} is {frames.shape} of {frames.dtype}; expected {expected}")
    return Video(path, frames.shape[1:], len(frames), None, partial(map, np.array, frames))


def _open_folder(path: Path) -> Video:
    pictures = (file for file in path.iterdir() if file.suffix.lower() == ".png")
    files = sorted(pictures, key=lambda file: ([*map(int, re.findall(r"\d+", file.stem))], file.name))
    sizes: set[tuple[int, ...]] = set()
    color = False
    for file in files:
        with Image.open(file) as image:  # the header; pixels are read when their turn comes
            sizes.add((image.height, image.width))
            color |= image.mode not in GRAY_MODES and (image.mode != "P" or _colored(image))
            if image.mode.startswith("I"):
                raise ValueError("the input has frames of more than 8 bits: convert them to 8 bits first")
    _check_sizes(path, sizes)
    shape = (*next(iter(sizes), ()), *[3] * color)
    return Video(path, shape, len(files), None, lambda: (_pixels(Image.open(file), color) for file in files))


def _open_gif(path: Path) -> Video:
    with Image.open(path) as image:
        size = (image.height, image.width)
        frames = [(_colored(frame), frame.info.get("duration", 0)) for frame in ImageSequence.Iterator(image)]
    color = any(colored for colored, _ in frames)
    milliseconds = sum(duration for _, duration in frames)
    fps = Fraction(1000 * len(frames), milliseconds) if milliseconds else None
    return Video(path, (*size, *[3] * color), len(frames), fps, partial(_gif_frames, path, color))


def _gif_frames(path: Path, color: bool) -> Iterator[np.ndarray]:
    with Image.open(path) as image:
        yield from (_pixels(frame, color) for frame in ImageSequence.Iterator(image))


def _colored(image: Image.Image) -> bool:
    rgb = np.asarray(image.convert("RGB"))
    return bool((rgb != rgb[..., :1]).any())


def _pixels(image: Image.Image, color: bool) -> np.ndarray:
    return np.array(image.convert("RGB" if color else "L"))


def _open_mp4(path: Path) -> Video:
    shape: tuple[int, ...] = ()
    with av.open(path) as file:
        stream = file.streams.video[0]
        length, fps = stream.frames or None, stream.average_rate or None
        for frame in file.decode(stream):  # of a gray video all: it may begin in black
            shape = (frame.height, frame.width)[:: -1 if _quarters(frame) % 2 else 1]
            chroma = frame.reformat(format="yuv444p").to_ndarray()[1:].astype(np.int16) - 128
            if (abs(chroma) > 1).any():
                shape = (*shape, 3)
                break
    return Video(path, shape, length if shape else 0, fps, partial(_mp4_frames, path, len(shape) == 3))


def _mp4_frames(path: Path, color: bool) -> Iterator[np.ndarray]:
    with av.open(path) as file:
        for frame in file.decode(video=0):
            yield upright_pixels(frame, not color)


def upright_pixels(frame: av.VideoFrame, gray: bool) -> np.ndarray:
    """Return a frame as it is shown, (H, W) luminance or (H, W, 3) RGB, uint8."""
    if frame.colorspace == UNKNOWN_COLORS and frame.height >= 720:
        frame.colorspace = Colorspace.ITU709  # what players take it for
    return np.rot90(frame.to_ndarray(format="gray" if gray else "rgb24"), _quarters(frame))


def _quarters(frame: av.VideoFrame) -> int:
    """Return by how many quarters to turn a frame to the left: phones store how they were held."""
    return round(getattr(frame, "rotation", 0) / 90)


_OPENERS: dict[str, Callable[[Path], Video]] = {".npy": _open_npy, ".gif": _open_gif, ".mp4": _open_mp4}
