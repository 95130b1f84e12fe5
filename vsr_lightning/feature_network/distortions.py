"""Distortions of images: (B, C, H, W) in [0, 1], most with one level per image, become (B, C, H, W), not clamped."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_lightning.degradation import downsample, gaussian_blur

HAZE_WIDTH = 17  # pixels
EDGE = 0.1  # softness of an erased stroke's end


def blur(images: Tensor, sigma: Tensor, kernel_size: int = 13) -> Tensor:
    """Gaussian blur of (B,) sigma, in pixels; the kernel should reach three sigma to each side."""
    return gaussian_blur(images[:, None], sigma.clamp_min(1e-3), kernel_size)[:, 0]


def resample(images: Tensor, scale: int = 2) -> Tensor:
    """Downsample and upsample, both bicubic: what upsampling alone can restore."""
    return F.interpolate(downsample(images[:, None], scale)[:, 0], scale_factor=scale, mode="bicubic")


def haze(images: Tensor, share: Tensor) -> Tensor:
    """Mix in a share, (B,), of a wide box blur: like the glow around uncertain edges under a pixel loss."""
    glow = F.avg_pool2d(images, HAZE_WIDTH, stride=1, padding=HAZE_WIDTH // 2)
    return torch.lerp(images, glow, share[:, None, None, None])


def noise(images: Tensor, sigma: Tensor, drawn: Tensor) -> Tensor:
    """Add normal noise of standard deviation (B,), drawn before: (B, C, H, W)."""
    return images + sigma[:, None, None, None] * drawn


def shift(images: Tensor, pixels: int = 1) -> Tensor:
    """Move to the right by whole pixels, black at the left."""
    return F.pad(images, (pixels, 0))[..., : images.shape[-1]]


def erase(images: Tensor, level: Tensor, field: Tensor) -> Tensor:
    """Black out the pixels at which a field, (B, 1, H, W) of :func:`smooth_field`, lies below the level, (B,)."""
    return images * torch.sigmoid((field - level[:, None, None, None]) / EDGE)


def smooth_field(shape: tuple[int, int, int, int], generator: torch.Generator, cell: int = 8) -> Tensor:
    """Return normal noise with patches of about ``cell`` pixels, of mean 0 and standard deviation 1."""
    batch, channels, height, width = shape
    coarse = torch.randn(batch, channels, height // cell, width // cell, generator=generator)
    field = F.interpolate(coarse, size=(height, width), mode="bicubic")
    return (field - field.mean((2, 3), keepdim=True)) / field.std((2, 3), keepdim=True)
