"""A perceptual distance as a metric, through any feature network."""

from typing import Any

from torch import Tensor

from vsr_lightning.losses import Perceptual


class Distance:
    """Distance of each frame to its truth, (B, C, H, W) each -> (B,), at least 0; lower is better.

    Args:
        options: see :class:`vsr_lightning.losses.Perceptual`, also for its errors.
    """

    def __init__(self, **options: Any) -> None:
        self.loss = Perceptual(**options)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.loss.to(target.device).distances(prediction, target)
