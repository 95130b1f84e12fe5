"""Losses: (prediction, target) -> scalar, images in [0, 1]; none knows of a network.

A new loss is a class here (PyTorch's own need none), a file in ``conf/loss`` that names it, and a test. A feature
network that it uses is its attribute ``features``, which runs record; a sum may be a :class:`SumOfTerms`.
"""

from vsr_lightning.losses.metric_losses import LPIPS, PSNR, SSIM
from vsr_lightning.losses.perceptual import Perceptual
from vsr_lightning.losses.pixel import FFT, Charbonnier
from vsr_lightning.losses.weighted_sum import SumOfTerms, WeightedSum

__all__ = ["FFT", "LPIPS", "PSNR", "SSIM", "Charbonnier", "Perceptual", "SumOfTerms", "WeightedSum"]
