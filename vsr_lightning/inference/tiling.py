"""Frames in overlapping tiles, so that memory is bounded by the tile and not by the frame."""

from itertools import pairwise, product
from typing import NamedTuple

from torch import Tensor

from vsr_lightning.models import Network
from vsr_lightning.models.network import encodes_frames

AUTO = "auto"
PIXELS, SHARED_PIXELS = 15 * 2**14, 2**16  # low-res ones of a tile with its surroundings: see fitting_tiles
MOST_PARTS = 64  # of a side


class Tile(NamedTuple):
    """A part of a frame, in low-res pixels: the first row and column, and one past the last.

    The network sees ``overlap`` pixels of surroundings on each side as well. They end at the frame's own border, so
    that it pads where it would pad a whole frame.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    overlap: int

    @property
    def pixels(self) -> int:
        """How many, without the surroundings."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])

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
        raise ValueError(f"tile={tile} and tile_overlap={overlap}: choose a tile of at least 1, overlap of at least 0")
    return _grid(height, width, -(-height // tile), -(-width // tile), overlap)


def fitting_tiles(network: Network, height: int, width: int, overlap: int = 16) -> list[Tile]:
    """Return the tiles of a frame that are least work in a few hundred MB; arguments as of :func:`tiles`.

    They are smaller for a network that has several frames in work at once: those of a clip, or those of the windows
    that share what it finds of a frame.
    """
    if overlap < 0:
        raise ValueError(f"tile_overlap={overlap}: choose at least 0")
    if network.size:
        return tiles(height, width, None)
    most = SHARED_PIXELS if network.takes == "clip" or encodes_frames(network) else PIXELS
    high, wide = (
        [_seen(side, count, overlap) for count in range(1, min(side, MOST_PARTS) + 1)] for side in (height, width)
    )

    def work(counts: tuple[int, int]) -> tuple[int, int]:
        rows, columns = high[counts[0]], wide[counts[1]]
        return max(max(rows) * max(columns), most), sum(rows) * sum(columns)

    rows, columns = min(product(range(len(high)), range(len(wide))), key=work)
    return _grid(height, width, rows + 1, columns + 1, overlap)


def _seen(side: int, count: int, overlap: int) -> list[int]:
    """Return the lengths of the parts of a side with their surroundings."""
    return [min(end + overlap, side) - max(begin - overlap, 0) for begin, end in parts(side, count)]


def _grid(height: int, width: int, rows: int, columns: int, overlap: int) -> list[Tile]:
    return [Tile(*sides, overlap) for sides in product(parts(height, rows), parts(width, columns))]


def parts(side: int, count: int) -> list[tuple[int, int]]:
    """Cut a side in ``count`` parts of nearly the same length: (first, one past the last) of each."""
    return list(pairwise(side * part // count for part in range(count + 1)))
