"""A perceptual distance as a metric, through any feature network."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from vsr_lightning.losses import Perceptual
from vsr_lightning.losses.features import Features


class Distance:
    """Distance of each frame to its truth, (B, C, H, W) each -> (B,), at least 0; lower is better.

    Args:
        features, layers, difference: see :class:`vsr_lightning.losses.Perceptual`, also for the errors.
    """

    def __init__(
        self,
        features: Features | str,
        layers: str | Sequence[str] | Mapping[str, float] = "all",
        difference: str = "normalized",
    ) -> None:
        self.loss = Perceptual(features, layers, difference=difference)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.loss.to(target.device).distances(prediction, target)
