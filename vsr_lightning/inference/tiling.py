"""Frames in overlapping tiles, so that memory is bounded by the tile and not by the frame."""

from itertools import pairwise, product
from typing import NamedTuple

from torch import Tensor


class Tile(NamedTuple):
    """A part of a frame, in low-res pixels: the first row and column, and one past the last.

    The network sees ``overlap`` pixels of surroundings on each side as well. They end at the frame's own border, so
    that it pads where it would pad a whole frame.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    overlap: int

    def cut(self, frames: Tensor) -> Tensor:
        """Return the part of (T, C, h, w) with its surroundings."""
        (top, bottom), (left, right), overlap = self
        return frames[..., max(top - overlap, 0) : bottom + overlap, max(left - overlap, 0) : right + overlap]

    def paste(self, prediction: Tensor, whole: Tensor, scale: int) -> None:
        """Write the prediction of :meth:`cut`, without its surroundings, into (T, C, scale h, scale w)."""
        (top, bottom), (left, right), overlap = self
        above, before = scale * min(top, overlap), scale * min(left, overlap)
        height, width = scale * (bottom - top), scale * (right - left)
        inner = prediction[..., above : above + height, before : before + width]
        whole[..., scale * top : scale * bottom, scale * left : scale * right] = inner


def tiles(height: int, width: int, tile: int | None, overlap: int = 16) -> list[Tile]:
    """Return the tiles of a frame, in low-res pixels; ValueError where ``tile`` or ``overlap`` is out of range.

    Together they give the prediction of the whole frame if the overlap reaches as far as the network's receptive field.

    Args:
        height: of the frame.
        width: of the frame.
        tile: largest height and width of a tile without its surroundings; None is one tile, the frame.
        overlap: pixels of surroundings on each side of a tile.
    """
    if tile is None:
        return [Tile((0, height), (0, width), 0)]
    if tile < 1 or overlap < 0:
        raise ValueError(f"tile={tile} and tile_overlap={overlap}: choose a tile of at least 1, an overlap from 0")
    return [Tile(*sides, overlap) for sides in product(parts(height, tile), parts(width, tile))]


def parts(size: int, most: int) -> list[tuple[int, int]]:
    """Cut a side in parts of nearly the same length, at most ``most``: (first, one past the last) of each."""
    count = -(-size // most)
    return list(pairwise(size * part // count for part in range(count + 1)))
