"""Kernel distance of features: are the outputs spread over a network's features as real frames are?"""

import torch
from torch import Tensor

from vsr_lightning.judges.jackknife import several
from vsr_lightning.judges.tiles import Tiles
from vsr_lightning.losses.features import Features, Normalize, as_buffers
from vsr_lightning.losses.load_features import load_features

TILES_AT_ONCE = 64
SCALE = 1000.0  # as papers print it


class KernelDistance:
    """Squared maximum mean discrepancy under a cubic kernel: KID (Binkowski et al. 2018), with features of our own.

    The features are a layer of a network, averaged over positions, each channel standardized over the real tiles, so
    that all of them count. Pairs of tiles of one video tell nothing of others and are left out, which keeps the
    estimate free of bias: real frames of other videos have 0 on average, and can have less.

    Args:
        features: the network, or the name by which :func:`load_features` loads it.
        layer: whose output to take; None is the last one.

    Raises:
        ValueError: a layer that the network does not have.
    """

    def __init__(self, features: Features | str, layer: str | None = None) -> None:
        self.features = as_buffers(features if isinstance(features, Features) else load_features(features))
        self.layer = layer or self.features.layers[-1]
        if self.layer not in self.features.layers:
            raise ValueError(f"layer={layer} is unknown: choose one of {', '.join(self.features.layers)}")
        self.normalize = Normalize(self.features.mean, self.features.std)

    def __call__(self, made: Tiles, real: Tiles) -> Tensor:
        """Return one value per unit of ``made``, (U,), whose mean is the distance, times 1,000."""
        x, y = self.pooled(made.images), self.pooled(real.images)
        spread, mean = torch.std_mean(y, 0)
        x, y = ((it - mean) / spread.clamp_min(1e-6) for it in (x, y))
        return SCALE * kernel_pseudo_values(x, made.unit, y, real.unit)

    @torch.no_grad()
    def pooled(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, channels)."""
        features, normalize = self.features.to(images.device).eval(), self.normalize.to(images.device)
        found = []
        for some in images.split(TILES_AT_ONCE):
            ((_, output),) = features.activations(normalize(some), [self.layer])
            found.append(output.float().mean((2, 3)))
        return torch.cat(found)


def cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(N, d), (M, d) -> (N, M), ``(x . y / d + 1) ** 3``, as in KID."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kernel_pseudo_values(x: Tensor, x_unit: Tensor, y: Tensor, y_unit: Tensor) -> Tensor:
    """Return pseudo-values, (U,), of the squared discrepancy of (N, d) and (M, d), pairs within a unit left out."""
    x, y = x.double(), y.double()
    of_x, of_y = (torch.nn.functional.one_hot(unit).double() for unit in (x_unit, y_unit))  # (N, U)
    within = of_x.T @ cubic_kernel(x, x) @ of_x  # (U, U): over the pairs of two units
    across = of_x.T @ cubic_kernel(x, y).mean(1)  # (U,)
    other = of_y.T @ cubic_kernel(y, y) @ of_y
    counts, other_counts = of_x.sum(0), of_y.sum(0)
    of_real = (other.sum() - other.trace()) / (other_counts.sum() ** 2 - other_counts.square().sum())
    # without unit u: what is left of a matrix is one number, so the statistic takes sums over pairs, not means
    pairs, own = within.sum() - within.trace(), within.sum(1) - within.diagonal()
    possible, own_possible = counts.sum() ** 2 - counts.square().sum(), counts * (counts.sum() - counts)
    whole = pairs / possible - 2 * across.sum() / counts.sum() + of_real
    left = (pairs - 2 * own) / (possible - 2 * own_possible)
    left = left - 2 * (across.sum() - across) / (counts.sum() - counts) + of_real
    units = several(len(counts))
    return units * whole - (units - 1) * left
