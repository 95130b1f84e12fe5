"""Clips that are video files, or parts of them: what is there, and the frames that are asked for."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile, islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch

from vsr_lightning.data.real_video.clips import Box, Clip, Parts
from vsr_lightning.data.videos import changed, file_state
from vsr_lightning.inference.orientation import Orientation, orientation_of
from vsr_lightning.inference.pixels import name_matrix, reformatted
from vsr_lightning.utils.formatting import counted

CHECKED = 16  # frames whose times are held against those of the packets


class Listed(NamedTuple):
    """A video file: when each of its frames is shown, in the stream's time base, (height, width), and how it lies."""

    times: tuple[int, ...] | None  # None where the file does not tell these rightly
    length: int
    size: tuple[int, int]
    orientation: Orientation


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
            if not path.exists() or file_state(path) != state:
                raise changed(path)

    def state(self, number: int) -> str:
        path = self.root / self.files[number]
        return f"{path.resolve()} {file_state(path)} {self.shrink[self.files[number]]}"


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
            states[file] = file_state(root / file)
            listed = list_frames(root / file, states[file])
            first, stop = round(begin * listed.length), round(end * listed.length)
            if first == stop:
                found = f"data.test_share leaves none of the {listed.length} frames of {root / file} to {part} on"
                raise ValueError(f"{found}: change it, or leave that file out")
            name = file if (begin, end) == (0, 1) else f"{file}, frames {first} to {stop - 1}"
            md5.update(f"{part} {file} {states[file][0]} {listed.length} {first} {stop} {shrink[file]}\n".encode())
            number, size = len(clips), (listed.size[0] // shrink[file], listed.size[1] // shrink[file])
            clips[number], files[number] = Clip(name, range(first, stop), size), file
            numbered.setdefault(part, []).append((number, name))
    split = " and ".join(f"{counted(len(pieces), 'clip')} to {part}" for part, pieces in numbered.items())
    frames, checksum = sum(len(clip.frames) for clip in clips.values()), md5.hexdigest()
    found = f"video files in {root}, {'gray' if gray else 'RGB'}: {split}, {counted(frames, 'frame')}"
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
        times = sorted(packet.pts for packet in file.demux(video=0) if packet.size and packet.pts is not None)
    with _readable(path), av.open(path) as file:
        begin = [*islice(file.decode(video=0), CHECKED)]
        orientation = orientation_of(begin[0])
        size = upright_pixels(begin[0], True, orientation).shape
        told = [frame.pts for frame in begin] == times[: len(begin)] and len({*times}) == len(times)
        length = len(times) if told else len(begin) + sum(1 for _ in file.decode(video=0))
    return Listed(tuple(times) if told else None, length, (size[0], size[1]), orientation)


def upright_pixels(frame: av.VideoFrame, gray: bool, orientation: Orientation) -> np.ndarray:
    """Return a frame as it is shown, (H, W) luminance or (H, W, 3) RGB, uint8.

    By FFmpeg's fast conversion, up to two levels darker than by that of :mod:`vsr_lightning.inference.pixels`: what is
    low-res is made of the same frames, and all kept runs on video files have seen these.
    """
    name_matrix(frame)
    return orientation.upright(reformatted(frame, "gray" if gray else "rgb24").to_ndarray())


def _decoded(path: Path, wanted: range, gray: bool, state: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield some consecutive frames: from the key frame before where the file leads there, else from its beginning."""
    listed = list_frames(path, state)
    times, missing = listed.times, wanted.start
    for known in (times, None) if times else (None,):
        for number, frame in _numbered(path, known, missing):
            if number > missing:  # the file has led too far, or no longer tells the times
                break
            if number == missing:
                yield upright_pixels(frame, gray, listed.orientation)
                missing += 1
            if missing == wanted.stop:
                return
    raise ValueError(f"{path} is damaged: its frame {missing} can't be decoded; leave the file out, or repair it")


def _numbered(path: Path, times: tuple[int, ...] | None, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield frames and their numbers, by their times from before the first one on, or counted from the beginning."""
    with _readable(path), av.open(path) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        if times is None:
            yield from enumerate(file.decode(stream))
            return
        file.seek(times[first], stream=stream)
        # frames before the key frame lean on others that were not read: a codec may still show something
        for frame in dropwhile(lambda frame: not frame.key_frame, file.decode(stream)):
            place = len(times) if frame.pts is None else bisect_left(times, frame.pts)
            yield (place if times[place : place + 1] == (frame.pts,) else len(times)), frame


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, IndexError, av.FFmpegError) as error:
        raise ValueError(f"{path} can't be read: it is damaged, or no video ({error})") from error
