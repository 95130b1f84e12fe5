"""Sliced Wasserstein distance of patches: do small structures occur in the outputs as often as in real frames?"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_lightning.judges.jackknife import pseudo_values
from vsr_lightning.judges.tiles import Tiles

POINTS = 256  # at which two distributions are compared along a direction
REACH = 1.5  # of these points, beyond the largest value of some real patches
PATCHES_AT_ONCE = 2**15


class SlicedWasserstein:
    """Mean, over random directions, of the Wasserstein-1 distance between projected patches (Rabin et al. 2011).

    Patches lie on a grid, each channel without its mean, so that structure counts and not color, which PSNR sees well.
    At each further scale the tiles are halved first, as by Karras et al. (2018).

    Args:
        patch: side of a patch, in pixels.
        stride: between patches, in pixels.
        directions: how many.
        scales: how many.
        seed: of the directions.
    """

    def __init__(self, patch: int = 7, stride: int = 4, directions: int = 64, scales: int = 2, seed: int = 0) -> None:
        self.patch, self.stride, self.directions, self.scales, self.seed = patch, stride, directions, scales, seed

    def __call__(self, made: Tiles, real: Tiles) -> Tensor:
        """Return one value per unit of ``made``, (U,), whose mean is the distance, see :func:`pseudo_values`."""
        generator = torch.Generator().manual_seed(self.seed)
        of_scales = []
        for _ in range(self.scales):
            values = made.images.shape[1] * self.patch**2
            directions = F.normalize(torch.randn(values, self.directions, generator=generator), dim=0)
            of_scales.append(self._of_scale(made, real, directions.to(made.images.device)))
            made, real = (Tiles(F.avg_pool2d(it.images, 2), it.unit) for it in (made, real))
        return torch.stack(of_scales).mean(0)

    def _of_scale(self, made: Tiles, real: Tiles, directions: Tensor) -> Tensor:
        some = self.projected(real.images[:: max(1, len(real.images) // 256)], directions)
        reach = REACH * some.abs().amax(0).clamp_min(1e-3)  # (directions,): points lie evenly in -reach .. reach
        (below, counts), (real_below, real_counts) = (self._below(it, directions, reach) for it in (made, real))
        of_real = real_below.sum(0) / real_counts.sum()

        def distance(means: Tensor) -> Tensor:  # W1 is the area between two cumulative distributions
            gaps = (means - of_real).abs().unflatten(1, (len(reach), POINTS)).sum(2)
            return (gaps * (2 * reach / (POINTS - 1))).mean(1)

        return pseudo_values(below, counts, distance)

    def _below(self, tiles: Tiles, directions: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
        """Return how many of each unit's patches lie below each point, (U, directions * POINTS), and its patches."""
        per_tile = self.projected(tiles.images[:1], directions).shape[0]
        some = max(1, PATCHES_AT_ONCE // per_tile)
        row = torch.arange(len(reach), device=reach.device) * POINTS
        found = []
        for unit in range(tiles.units):
            cells = torch.zeros(len(reach) * POINTS, device=reach.device)
            for images in tiles.images[tiles.unit == unit].split(some):
                place = (self.projected(images, directions) / reach + 1) * ((POINTS - 1) / 2)
                place = place.ceil().clamp(0, POINTS - 1).long() + row  # of the first point that is not below it
                cells += torch.bincount(place.flatten(), minlength=len(cells))
            found.append(cells)
        counts = torch.bincount(tiles.unit, minlength=tiles.units) * per_tile
        return torch.stack(found).double().unflatten(1, (len(reach), POINTS)).cumsum(2).flatten(1), counts

    def projected(self, images: Tensor, directions: Tensor) -> Tensor:
        """(N, C, H, W) images, (C * patch², directions) -> (patches, directions)."""
        patches = F.unfold(images, self.patch, stride=self.stride).movedim(1, 2).flatten(0, 1)
        colors = patches.unflatten(1, (images.shape[1], -1))
        return (colors - colors.mean(2, keepdim=True)).flatten(1) @ directions
