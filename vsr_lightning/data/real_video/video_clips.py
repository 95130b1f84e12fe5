"""Clips that are video files, or parts of them: what is there, and the frames that are asked for."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch

from vsr_lightning.data.real_video.clips import Box, Clip, Parts
from vsr_lightning.inference.video_reader import upright_pixels


class Listed(NamedTuple):
    """A video file: when each of its frames is shown, in the stream's time base, and (height, width)."""

    times: tuple[int, ...] | None  # None where the file does not say
    length: int
    size: tuple[int, int]


@dataclass(frozen=True)
class VideoClips:
    """The clips in use, and what they are; see :class:`vsr_lightning.data.real_video.clips.Clips`.

    Attributes:
        root, parts, clips: the folder above, the split, and each clip by its index; a clip's frames are numbers of
            frames in its file.
        files: the file of each clip, relative to the root.
        shrink: how many pixels of each file, in both directions, are averaged to one.
        gray: whether frames are read as luminance; else as RGB.
        name, description: for tables, and one sentence for ``run.json``.
        checksum: MD5 over the split, and over path, size and number of frames of each file in use.
        states: size and time of change of each file when it was listed.
    """

    root: Path
    parts: Parts
    clips: Mapping[int, Clip]
    files: Mapping[int, str]
    shrink: Mapping[str, int]
    gray: bool
    name: str
    description: str
    checksum: str
    states: Mapping[str, tuple[int, int]]

    def read(self, number: int, frames: range, box: Box) -> torch.Tensor:
        """See :class:`vsr_lightning.data.real_video.clips.Clips`; decoding begins at the key frame before."""
        left, top, right, bottom = box
        clip, path = self.clips[number], self.root / self.files[number]
        wanted = clip.frames[frames.start : frames.stop]
        assert isinstance(wanted, range)
        found = []
        for pixels in _decoded(path, wanted, self.gray, self.states[self.files[number]]):
            pixels = shrunk(pixels, self.shrink[self.files[number]])
            if pixels.shape[:2] != clip.size:
                sizes = f"{pixels.shape[0]}x{pixels.shape[1]}, the first {clip.size[0]}x{clip.size[1]}"
                raise ValueError(f"{path} has a frame of {sizes}: give files of data.root frames of one size")
            found.append(np.atleast_3d(pixels[top:bottom, left:right]))
        return torch.from_numpy(np.stack(found)).movedim(-1, 1)

    def check_unchanged(self) -> None:
        """Refuse files that somebody has written to since they were listed (ValueError)."""
        for file, state in self.states.items():
            path = self.root / file
            if not path.exists() or _state(path) != state:
                raise ValueError(f"{path} was changed while it was in use: leave it alone, and start again")

    def state(self, number: int) -> str:
        path = self.root / self.files[number]
        return f"{path.resolve()} {_state(path)} {self.shrink[self.files[number]]}"


def open_video_clips(
    root: Path, parts: Mapping[str, list[tuple[str, tuple[float, float]]]], gray: bool, shrink: Mapping[str, int]
) -> VideoClips:
    """List the frames of some video files.

    Args:
        root: the folder above.
        parts: train and test -> file, relative to the root, and from which to which share of it.
        gray: whether to read luminance.
        shrink: factor by which each file's frames are made smaller.

    Raises:
        ValueError: a file is damaged, or no video.
    """
    md5 = hashlib.md5(f"gray={gray}".encode(), usedforsecurity=False)
    clips: dict[int, Clip] = {}
    files, states, numbered = dict[int, str](), dict[str, tuple[int, int]](), dict[str, list[tuple[int, str]]]()
    for part, pieces in parts.items():
        for file, (begin, end) in pieces:
            states[file] = _state(root / file)
            listed = list_frames(root / file, states[file])
            first, stop = round(begin * listed.length), round(end * listed.length)
            name = file if (begin, end) == (0, 1) else f"{file}, frames {first} to {stop - 1}"
            md5.update(f"{part} {file} {states[file][0]} {listed.length} {first} {stop} {shrink[file]}\n".encode())
            number, size = len(clips), (listed.size[0] // shrink[file], listed.size[1] // shrink[file])
            clips[number], files[number] = Clip(name, range(first, stop), size), file
            numbered.setdefault(part, []).append((number, name))
    split = " and ".join(f"{len(pieces)} clips to {part}" for part, pieces in numbered.items())
    frames, checksum = sum(len(clip.frames) for clip in clips.values()), md5.hexdigest()
    found = f"video files in {root}, {'gray' if gray else 'RGB'}: {split}, {frames:,} frames"
    smaller = "".join(f", {file} {factor} times smaller" for file, factor in shrink.items() if factor > 1)
    description = f"{found}{smaller}; the checksum is over the split and the files' paths, sizes and numbers of frames"
    return VideoClips(
        root, numbered, clips, files, shrink, gray, f"videos {checksum[:8]}", description, checksum, states
    )


def shrunk(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of pixels of (H, W) or (H, W, 3) uint8; rows and columns that fill none are cut off."""
    if factor == 1:
        return pixels
    height, width = (side // factor for side in pixels.shape[:2])
    squares = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    mean: np.ndarray = np.rint(squares.mean((1, 3))).astype(np.uint8)
    return mean.reshape(height, width, *pixels.shape[2:])


@cache
def list_frames(path: Path, state: tuple[int, int]) -> Listed:
    """Return when each frame of a video file is shown; ``state`` is that of the file, which must not have changed."""
    with _readable(path), av.open(path) as file:
        stream = file.streams.video[0]
        shown = [packet.pts for packet in file.demux(stream) if packet.size]
        known = [time for time in shown if time is not None]
        complete = len(known) == len(shown) == len({*known})
        file.seek(0)
        size = upright_pixels(next(file.decode(stream)), gray=True).shape
        if not complete:
            file.seek(0)
            shown = [None for _ in file.decode(stream)]
        return Listed(tuple(sorted(known)) if complete else None, len(shown), (size[0], size[1]))


def _decoded(path: Path, wanted: range, gray: bool, state: tuple[int, int]) -> Iterator[np.ndarray]:
    times, expected = list_frames(path, state).times, iter(wanted)
    missing = next(expected)
    with _readable(path), av.open(path) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        if times:
            file.seek(times[wanted.start], stream=stream)
        for number, frame in enumerate(file.decode(stream)):
            place = bisect_left(times, frame.pts) if times and frame.pts is not None else number
            if place == missing:
                yield upright_pixels(frame, gray)
                missing = next(expected, -1)
            if missing < 0:
                return
    raise ValueError(f"{path} is damaged: its frame {missing} can't be decoded; leave the file out, or repair it")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, StopIteration, IndexError, av.FFmpegError) as error:
        raise ValueError(f"{path} can't be read: it is damaged, or no video ({error})") from error


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
