"""What a video is, wherever its frames lie, and all of it that belongs to its file beside the pixels."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

DEEP = 65535  # white of pixels with more than 8 bits, which are kept in 16


class Frame(NamedTuple):
    """One frame as it is shown, upright.

    Attributes:
        pixels: (H, W, C), gray, gray with alpha, RGB or RGB with alpha; integers of 0 to the format's ``white``, or
            floats in [0, 1].
        time: when it is shown, in seconds; None where its kind of file does not tell.
    """

    pixels: np.ndarray
    time: Fraction | None = None


class Colors(NamedTuple):
    """What the numbers of a video file mean, by the codes of ITU-T H.273: primaries, transfer and matrix."""

    primaries: int
    transfer: int
    matrix: int

    @property
    def beyond_srgb(self) -> bool:
        """Whether pictures would show them wrongly: the transfer of HDR10 (PQ) or HLG, or BT.2020's or P3's colors."""
        return self.transfer in (16, 18) or self.primaries in (9, 11, 12)


@dataclass(frozen=True)
class Format:
    """What a video has beside its frames, and keeps when these become larger.

    Attributes:
        fps: frames per second, on average; None where the kind of file does not tell.
        time_base: of which seconds the times of frames are multiples; None where they come evenly, ``fps`` times a
            second.
        white: the largest number of a pixel; 1 of floats.
        aspect: how wide a pixel is shown, by how high.
        colors: what the pixels mean; None where that is sRGB, as in pictures.
        start: when the file begins, in seconds, in which its streams of television do not begin at 0.
        last: how long the last frame is shown, in seconds.
        sound: the file that has the sound; None where there is none.
        about: what the file says of itself, such as title, date and place.
        repeats: how many more times a GIF is shown; 0 is for ever, -1 not at all, by FFmpeg's numbers.
    """

    fps: Fraction | None = None
    time_base: Fraction | None = None
    white: int = 255
    aspect: Fraction = Fraction(1)
    colors: Colors | None = None
    start: Fraction = Fraction(0)
    last: Fraction | None = None
    sound: Path | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    repeats: int = 0


@dataclass(frozen=True)
class Video:
    """Frames that are read anew, one at a time, whenever one goes through them.

    Attributes:
        path: where they are.
        shape: of a frame's pixels, (H, W, C).
        length: how many frames.
        format: what else the video has.
        frames: begins to read; is given :attr:`bad`.
        times: when the frames are shown, in seconds; None where the kind of file does not tell.
        notes: what was chosen or changed, a sentence each; complete once all frames were read.
        bad: what could not be decoded, in words; complete once all frames were read.
    """

    path: Path
    shape: tuple[int, int, int]
    length: int
    format: Format
    frames: Callable[[list[str]], Iterator[Frame]]
    times: tuple[Fraction, ...] | None = None
    notes: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Frame]:
        """Go through the frames.

        Raises:
            ValueError: the file turns out to be damaged, or its frames of different sizes.
        """
        self.bad.clear()
        for frame in self.frames(self.bad):
            if frame.pixels.shape != self.shape:
                raise different_sizes(self.path, {self.shape, frame.pixels.shape})
            yield frame


def different_sizes(path: Path, sizes: set[tuple[int, ...]]) -> ValueError:
    """Return the error of frames that make no video."""
    return ValueError(f"input={path} has frames of different sizes: {sorted(sizes)}")
