"""What the unpaired metrics see of a set of frames: tiles of one size, and the unit that each is of."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vsr_lightning.runs.frames import units

SIDE = 64  # pixels, or what the smallest frame has
PER_FRAME = 8  # tiles, spread evenly over a large frame
MOST = 4096  # tiles, spread evenly over the units
Place = tuple[int, int]  # a video, and a frame of it


@dataclass(frozen=True)
class Tiles:
    """Tiles of frames, whoever made these.

    Attributes:
        images: (N, C, side, side) float in [0, 1].
        unit: (N,) int64 in 0 .. units - 1, what each tile is of: a video, or a part of one. Units are what is
            independent: an interval is over them.
    """

    images: Tensor
    unit: Tensor

    @property
    def units(self) -> int:
        """How many units there are."""
        return int(self.unit.max()) + 1

    def to(self, device: torch.device | str) -> "Tiles":
        """Return the same tiles on a device."""
        return Tiles(self.images.to(device), self.unit.to(device))


def cut(frames: Tensor, side: int) -> Tensor:
    """Cut (N, C, H, W) frames into tiles from the middle, at most :data:`PER_FRAME`: (N, tiles, C, side, side)."""
    height, width = frames.shape[-2:]
    top, left = (height % side) // 2, (width % side) // 2
    kept = frames[..., top : top + height // side * side, left : left + width // side * side]
    tiles = kept.unfold(2, side, side).unfold(3, side, side)  # (N, C, rows, columns, side, side)
    tiles = tiles.movedim(1, 3).flatten(1, 2)
    return tiles[:, _evenly(tiles.shape[1], PER_FRAME)]


@dataclass
class TileCollector:
    """Collects the tiles of frames that come in batches.

    Args:
        side: of a tile, in pixels.
    """

    side: int
    tiles: dict[Place, Tensor] = field(default_factory=dict)  # by video and frame

    def add(self, frames: Tensor, places: Iterable[Place]) -> None:
        """Add (N, C, H, W) frames in [0, 1], each by its video and its index there."""
        self.tiles |= zip(places, cut(frames, self.side).cpu(), strict=True)

    def collected(self) -> tuple[Tiles, dict[Place, int]]:
        """Return the tiles, evenly thinned out to at most :data:`MOST`, and the unit's number of each frame."""
        places = sorted(self.tiles)
        numbers = units(*np.array(places).T)
        of_unit = [
            [self.tiles[places[row]] for row in np.flatnonzero(numbers == it)] for it in range(numbers.max() + 1)
        ]
        most = max(1, MOST // len(of_unit))
        images = [_spread(torch.cat(part), most) for part in of_unit]
        unit = torch.arange(len(images)).repeat_interleave(torch.tensor([len(part) for part in images]))
        return Tiles(torch.cat(images), unit), dict(zip(places, numbers.tolist(), strict=True))


def tiles_of(frames: Iterable[tuple[int, int, Tensor]], side: int) -> Tiles:
    """Return the tiles of frames: of each its video, its index there, and (C, H, W) in [0, 1]."""
    collector = TileCollector(side)
    for video, frame, image in frames:
        collector.add(image[None], [(video, frame)])
    return collector.collected()[0]


def _spread(images: Tensor, most: int) -> Tensor:
    return images[_evenly(len(images), most)].clone()


def _evenly(count: int, most: int) -> Tensor:
    return torch.linspace(0, count - 1, min(most, count)).round().long()
