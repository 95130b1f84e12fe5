"""How a video file says that its frames are to be turned and mirrored before they are shown."""

import struct
from typing import Any, NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type


class Orientation(NamedTuple):
    """One of the eight ways to lay down a picture: mirrored left to right first, then turned to the left."""

    mirrored: bool = False
    quarters: int = 0  # of a turn, to the left

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Return (H, W, ...) as it is shown."""
        return np.rot90(pixels[:, ::-1] if self.mirrored else pixels, self.quarters)

    @property
    def lies(self) -> bool:
        """Whether width and height change places."""
        return self.quarters % 2 == 1


UPRIGHT = Orientation()


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Return what a frame's display matrix asks for; of one that is no quarter turn, the nearest.

    A frame that was asked is only let go by the garbage collector: ask one of a video.
    """
    found: Any = frame.side_data  # whose types know of names only
    data = found.get(Type.DISPLAYMATRIX)
    return UPRIGHT if data is None else of_matrix(struct.unpack("=9i", bytes(data)))


def of_matrix(matrix: tuple[int, ...]) -> Orientation:
    """Return what a display matrix of nine numbers, as ISO/IEC 14496-12 has it, asks for.

    It takes a pixel at (x, y), y downwards, to (a x + c y, b x + d y), of its numbers a, b, _, c, d.
    """
    a, b, _, c, d, *_ = matrix
    mirrored = a * d - b * c < 0
    right = (-a, -b) if mirrored else (a, b)  # where what lies to the right of the center goes
    quarters = round(np.arctan2(-right[1], right[0]) / (np.pi / 2)) % 4
    return Orientation(mirrored, int(quarters))
