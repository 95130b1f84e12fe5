"""Metrics that look at more than a frame and its truth: at whole videos, or at a whole test set and real frames."""

from vsr_lightning.judges.distance import Distance
from vsr_lightning.judges.kernel_distance import KernelDistance
from vsr_lightning.judges.reader import legibility
from vsr_lightning.judges.told_apart import ToldApart
from vsr_lightning.judges.wasserstein import SlicedWasserstein

__all__ = ["Distance", "KernelDistance", "SlicedWasserstein", "ToldApart", "legibility"]
