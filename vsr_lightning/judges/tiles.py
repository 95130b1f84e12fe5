"""What the unpaired metrics see of a set of frames: tiles of one size, and the unit that each is of."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vsr_lightning.runs.frames import FEW, PIECE

SIDE = 64  # pixels, or what the smallest frame has
MOST = 4096  # tiles, spread evenly over the units


@dataclass(frozen=True)
class Tiles:
    """Tiles of frames, whoever made these.

    Attributes:
        images: (N, C, side, side) float in [0, 1].
        unit: (N,) int64 in 0 .. units - 1, what each tile is of: a video, or a piece of one. Units are what is
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
    """Cut (N, C, H, W) frames into the tiles that fit, from the middle: (N, tiles, C, side, side)."""
    height, width = frames.shape[-2:]
    top, left = (height % side) // 2, (width % side) // 2
    kept = frames[..., top : top + height // side * side, left : left + width // side * side]
    tiles = kept.unfold(2, side, side).unfold(3, side, side)  # (N, C, rows, columns, side, side)
    return tiles.movedim(1, 3).flatten(1, 2)


@dataclass
class TileCollector:
    """Collects the tiles of frames that come in batches.

    Args:
        side: of a tile, in pixels.
        videos: how many there will be.
    """

    side: int
    videos: int
    tiles: dict[tuple[int, int], list[Tensor]] = field(default_factory=dict)  # by video and piece

    def add(self, frames: Tensor, video: Tensor, frame: Tensor) -> None:
        """Add (N, C, H, W) frames in [0, 1]; ``video`` and ``frame`` are (N,) int64, the indices of each."""
        for tiles, place in zip(cut(frames, self.side), zip(video.tolist(), frame.tolist(), strict=True), strict=True):
            self.tiles.setdefault(self.unit(*place), []).append(tiles.cpu())

    def unit(self, video: int, frame: int) -> tuple[int, int]:
        """Return what a frame is a part of: its video, or of few videos a piece, as ``runs/frames.py`` has it."""
        return video, 0 if self.videos >= FEW else frame // PIECE

    def collected(self) -> tuple[Tiles, dict[tuple[int, int], int]]:
        """Return the tiles, evenly thinned out to at most :data:`MOST`, and each unit's number by video and piece."""
        units = sorted(self.tiles)
        most = max(1, MOST // len(units))
        images = [_spread(torch.cat(self.tiles[key]), most) for key in units]
        numbers = torch.arange(len(units)).repeat_interleave(torch.tensor([len(part) for part in images]))
        return Tiles(torch.cat(images), numbers), {key: number for number, key in enumerate(units)}


def tiles_of(frames: Iterable[tuple[int, int, Tensor]], side: int, videos: int) -> Tiles:
    """Return the tiles of frames: of each its video, its index there, and (C, H, W) in [0, 1]."""
    collector = TileCollector(side, videos)
    for video, frame, image in frames:
        collector.add(image[None], torch.tensor([video]), torch.tensor([frame]))
    return collector.collected()[0]


def _spread(images: Tensor, most: int) -> Tensor:
    places = torch.linspace(0, len(images) - 1, min(most, len(images))).round().long()
    return images[places].clone()
