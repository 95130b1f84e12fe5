"""Frames in overlapping tiles, so that memory is bounded by the tile and not by the frame."""

from collections.abc import Callable
from itertools import pairwise, product

from torch import Tensor

Step = Callable[[Tensor], Tensor]


def tiled(step: Step, tile: int | None, overlap: int = 16) -> Step:
    """Take frames in tiles; the same numbers as whole, where nothing further than ``overlap`` away has a say.

    A tile's surroundings end at the frame's own border, so that padding is where it is for a whole frame.

    Args:
        step: (T, C, h, w) -> (T', C, H, W), for any size.
        tile: largest height and width, in low-res pixels, without the overlap; None is whole frames.
        overlap: low-res pixels of surroundings on each side, cut off afterwards.

    Raises:
        ValueError: ``tile`` or ``overlap`` is out of range.
    """
    if tile is None:
        return step
    if tile < 1 or overlap < 0:
        raise ValueError(
            f"tile={tile} and tile_overlap={overlap}: choose a tile of at least 1, and an overlap of at least 0"
        )

    def by_tiles(frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        whole = None
        for (top, bottom), (left, right) in product(parts(height, tile), parts(width, tile)):
            above, before = max(top - overlap, 0), max(left - overlap, 0)
            surrounded = frames[..., above : bottom + overlap, before : right + overlap]
            made = step(surrounded)
            scale = made.shape[-1] // surrounded.shape[-1]
            if whole is None:
                whole = made.new_empty(*made.shape[:-2], scale * height, scale * width)
            inner = made[..., scale * (top - above) : scale * (bottom - above), scale * (left - before) :]
            whole[..., scale * top : scale * bottom, scale * left : scale * right] = inner[
                ..., : scale * (right - left)
            ]
        assert whole is not None
        return whole

    return by_tiles


def parts(size: int, most: int) -> list[tuple[int, int]]:
    """Cut a side in parts of nearly the same length, at most ``most``: (first, one past the last) of each."""
    count = -(-size // most)
    return list(pairwise(size * part // count for part in range(count + 1)))
