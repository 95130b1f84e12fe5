"""Losses: (prediction, target) -> scalar, images in [0, 1]; none knows of a network.

A new loss is a class here, a file in ``conf/loss`` that names it, and a test. PyTorch's own need only the file. A loss
that looks through a feature network has it as its attribute ``features``, so that runs can record which one. A loss
that is a sum may offer what :class:`SumOfTerms` asks for, so that each term has a curve of its own.
"""

from vsr_lightning.losses.metric_losses import LPIPS, PSNR, SSIM
from vsr_lightning.losses.perceptual import Perceptual
from vsr_lightning.losses.pixel import FFT, Charbonnier
from vsr_lightning.losses.weighted_sum import SumOfTerms, WeightedSum

__all__ = ["FFT", "LPIPS", "PSNR", "SSIM", "Charbonnier", "Perceptual", "SumOfTerms", "WeightedSum"]
