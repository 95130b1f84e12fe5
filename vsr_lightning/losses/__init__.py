"""Losses: (prediction, target) -> scalar, images in [0, 1]; none knows of a network.

A new loss is a class here, a file in ``conf/loss`` that names it, and a test. The pixel loss is ``torch.nn.MSELoss``.
"""

from vsr_lightning.losses.perceptual import Perceptual

__all__ = ["Perceptual"]
