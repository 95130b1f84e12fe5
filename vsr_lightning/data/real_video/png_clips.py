"""Clips as folders of PNG frames: what is there, and the part of a frame that is asked for."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vsr_lightning.data.real_video.clips import Box, Clip, Parts
from vsr_lightning.data.videos import changed
from vsr_lightning.utils.formatting import counted


@dataclass(frozen=True)
class PngClips:
    """The clips in use, and what they are; see :class:`vsr_lightning.data.real_video.clips.Clips`.

    Attributes:
        root, parts, clips: the folder above, the split, and each clip by its index; a clip's name is its folder below
            the root, and its frames are names of files.
        gray: whether frames are read as luminance; else as RGB.
        name, description: for tables, and one sentence for ``run.json``.
        checksum: MD5 over the split, and over path and size of each frame in use.
        states: what changes of each clip whenever somebody writes to its files.
        beside: other clips that are used along with these, and must not change either.
    """

    root: Path
    parts: Parts
    clips: Mapping[int, Clip]
    gray: bool
    name: str
    description: str
    checksum: str
    states: Mapping[int, str]
    beside: "PngClips | None" = None

    def read(self, number: int, frames: range, box: Box) -> torch.Tensor:
        """See :class:`vsr_lightning.data.real_video.clips.Clips`; PNG is decoded down to the end of the box."""
        return torch.stack([self._frame(self.clips[number], frame, box) for frame in frames])

    def state(self, number: int) -> str:
        return _state(folder := self.root / self.clips[number].name, _frames(folder))

    def _frame(self, clip: Clip, frame: int, box: Box) -> torch.Tensor:
        path = self.root / clip.name / str(clip.frames[frame])
        with _opened(path) as image:
            if (image.height, image.width) != clip.size:
                sizes = f"{image.height}x{image.width}, the first frame there {clip.size[0]}x{clip.size[1]}"
                raise ValueError(f"{path} is {sizes}: give a clip folder of data.root frames of one size")
            _end_at(image, box[3])
            pixels = np.array(image.crop(box).convert("L" if self.gray else "RGB"))
        return torch.from_numpy(np.atleast_3d(pixels)).movedim(-1, 0)

    def check_unchanged(self) -> None:
        """Refuse frames that were added, taken away or written to since they were listed (ValueError)."""
        if self.states != {number: self.state(number) for number in self.clips}:
            raise changed(self.root)
        if self.beside:
            self.beside.check_unchanged()


def open_png_clips(root: Path, parts: Parts, gray: bool, name: str) -> PngClips:
    """List the frames of some clips, and look into the header of each one's first.

    Raises:
        FileNotFoundError: a clip's folder is missing.
        ValueError: it holds no PNG, or the first can't be read.
    """
    files, states, checksum = _list(root, parts, gray)
    clips: dict[int, Clip] = {}
    for number, folder in (clip for numbered in parts.values() for clip in numbered):
        with _opened(root / folder / files[number][0]) as image:
            clips[number] = Clip(folder, files[number], (image.height, image.width))
    split = " and ".join(f"{counted(len(numbered), 'clip')} to {part}" for part, numbered in parts.items())
    found = f"{name} in {root}, {'gray' if gray else 'RGB'}: {split}, {sum(map(len, files.values())):,} frames"
    description = f"{found}; the checksum is over the split and the frames' paths and sizes"
    return PngClips(root, parts, clips, gray, f"{name} {checksum[:8]}", description, checksum, states)


def _list(root: Path, parts: Parts, gray: bool) -> tuple[dict[int, tuple[str, ...]], dict[int, str], str]:
    """Return each clip's files and state by its number, and the checksum of all."""
    md5 = hashlib.md5(f"grey={gray}".encode(), usedforsecurity=False)
    files, states = dict[int, tuple[str, ...]](), dict[int, str]()
    known: dict[tuple[str, ...], tuple[str, ...]] = {}  # clips whose files are named alike share the names
    for part, numbered in parts.items():
        for number, folder in numbered:
            frames = _frames(root / folder)
            md5.update(f"{part} {folder} {[(name, size) for name, size, _ in frames]}\n".encode())
            names = tuple(name for name, *_ in frames)
            files[number], states[number] = known.setdefault(names, names), _state(root / folder, frames)
    return files, states, md5.hexdigest()


def _state(folder: Path, frames: list[tuple[str, int, int]]) -> str:
    return hashlib.md5(f"{folder.resolve()} {frames}".encode(), usedforsecurity=False).hexdigest()


def _frames(folder: Path) -> list[tuple[str, int, int]]:
    """Return name, size in bytes and time of change of each frame; without leading zeros, shorter names come first."""
    if not folder.is_dir():
        raise FileNotFoundError(f"data.root: the clip folder {folder} is missing")
    with os.scandir(folder) as entries:
        pictures = ((entry.name, entry.stat()) for entry in entries if entry.name.lower().endswith(".png"))
        found = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in pictures]
    if not found:
        raise ValueError(f"data.root: the clip folder {folder} holds no PNG frame")
    return sorted(found, key=lambda entry: (len(entry[0]), entry[0]))


def _end_at(image: Image.Image, row: int) -> None:
    """Let a picture that is not decoded yet end before a row: decoding, nearly all of the time, then stops there."""
    tiles = getattr(image, "tile", [])
    if len(tiles) == 1 and not image.info.get("interlace"):
        (codec, _, *rest) = tiles[0]
        image.tile = [(codec, (0, 0, image.width, row), *rest)]  # type: ignore[attr-defined]
        image._size = (image.width, row)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode.startswith("I"):
                raise ValueError(f"{path} has more than 8 bits: convert it to 8 bits first")
            yield image
    except (OSError, SyntaxError) as error:  # as Pillow calls a broken chunk
        raise ValueError(f"{path} can't be read: it is missing, damaged or no PNG ({error})") from error
