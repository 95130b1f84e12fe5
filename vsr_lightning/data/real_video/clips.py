"""What is asked of clips of real video, wherever their frames lie."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch

from vsr_lightning.data.datamodule import Identity

Parts = Mapping[str, Sequence[tuple[int, str]]]  # train and test -> index and name of each clip in use
Box = tuple[int, int, int, int]  # left, top, right, bottom


class Clip(NamedTuple):
    """A clip's name, by what each of its frames is found, in order, and (height, width) of the first."""

    name: str
    frames: Sequence[str] | range
    size: tuple[int, int]


class Clips(Identity, Protocol):
    """The clips in use, by index, and what they are.

    Attributes:
        clips: each clip by its index.
        gray: whether frames are read as luminance; else as RGB.
    """

    @property
    def clips(self) -> Mapping[int, Clip]: ...
    @property
    def gray(self) -> bool: ...
    def read(self, number: int, frames: range, box: Box) -> torch.Tensor:
        """Return the box of some consecutive frames of a clip, (T, C, height, width) uint8.

        Raises:
            ValueError: a file is damaged, or a frame of another size than the clip's first.
        """

    def state(self, number: int) -> str:
        """Return what changes whenever somebody writes to a clip's files."""
