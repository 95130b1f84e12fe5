"""Scores of single frames: as the field computes them, as the paper writes them, and as networks see them."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypedDict

import torch
import torch.nn.functional as F
from piq import gmsd, haarpsi
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

from vsr_lightning.losses import Perceptual
from vsr_lightning.losses.metric_losses import alexnet_path, ssim

SSIM_WINDOW = 11
PIXELS_AT_ONCE = 80 * 64**2
MAX_DB = 100.0  # identical frames have no finite PSNR, and one infinite frame would swallow the mean


class Scoring(TypedDict):
    """What of a frame ``psnr`` and ``ssim`` look at, see :func:`frame_scores`."""

    luminance: bool
    crop_border: int


def frame_scores(
    prediction: Tensor, target: Tensor, luminance: bool = False, crop_border: int = 0
) -> dict[str, Tensor]:
    """Score each frame.

    Args:
        prediction: (B, C, H, W); clamped to [0, 1] here, as a saved picture would be.
        target: (B, C, H, W) in [0, 1].
        luminance: whether ``psnr`` and ``ssim`` look at :func:`studio_luminance` only; else at every channel.
        crop_border: pixels at each side of a frame that they leave out.

    Returns:
        (B,) each: ``psnr`` and ``ssim`` (torchmetrics, data range 1, Gaussian window 11) and the paper's equations to
        the letter on whole images in 0..255: ``psnr_eq2`` (Eq. 2, 3) and ``ssim_eq1`` (Eq. 1). PSNR in dB, at most 100.

    Raises:
        ValueError: the border leaves less of a frame than SSIM's window.
    """
    prediction, target = prediction.float().clamp(0, 1), target.float()
    seen, sharp = (_scored_part(images, luminance, crop_border) for images in (prediction, target))
    dims = tuple(range(1, target.ndim))
    return {
        "psnr": peak_signal_noise_ratio(seen, sharp, data_range=(0.0, 1.0), dim=dims, reduction="none").clamp_max(
            MAX_DB
        ),
        "ssim": ssim(seen, sharp),
        "psnr_eq2": psnr_eq2(prediction * 255, target * 255),
        "ssim_eq1": ssim_eq1(prediction * 255, target * 255),
    }


def in_parts(
    score: Callable[[Tensor, Tensor], dict[str, Tensor]], prediction: Tensor, target: Tensor
) -> dict[str, Tensor]:
    """Return what ``score`` tells of each frame, some frames at a time: large ones would not fit all at once."""
    some = frames_at_once(target)
    parts = [score(*part) for part in zip(prediction.split(some), target.split(some), strict=True)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def frames_at_once(frames: Tensor) -> int:
    """Return how many frames of this size, (..., H, W), to work on at a time."""
    return max(1, PIXELS_AT_ONCE // (frames.shape[-2] * frames.shape[-1]))


def studio_luminance(images: Tensor) -> Tensor:
    """Luminance of RGB as MATLAB's ``rgb2ycbcr`` has it (ITU-R BT.601): black is 16/255 and white 235/255.

    Args:
        images: (B, 3, H, W) in [0, 1]; grey ones, (B, 1, H, W), are luminance already and stay as they are.

    Returns:
        (B, 1, H, W), not rounded.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (65.481 * red + 128.553 * green + 24.966 * blue + 16) / 255


def _scored_part(images: Tensor, luminance: bool, crop_border: int) -> Tensor:
    height, width = images.shape[-2:]
    if crop_border and min(height, width) - 2 * crop_border < SSIM_WINDOW:
        raise ValueError(
            f"module.crop_border={crop_border} leaves less than {SSIM_WINDOW} pixels of "
            f"frames of {height}x{width}: lower it"
        )
    inside = images[..., crop_border : height - crop_border, crop_border : width - crop_border]
    return studio_luminance(inside) if luminance else inside


def perceptual_metrics(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Score each frame closer to how it looks; slower than :func:`frame_scores`.

    Args:
        prediction: (B, 1 or 3, H, W); clamped to [0, 1] here.
        target: (B, 1 or 3, H, W) in [0, 1].

    Returns:
        (B,) each: ``vgg_distance``, the paper's Eq. 5 on the bundled features, whatever the loss looked through, at
        least 0, lower is better; two that no network has a part in, ``haarpsi`` (Reisenhofer et al. 2018, piq), up to
        1, higher is better, and ``gmsd`` (gradient magnitude similarity deviation, Xue et al. 2014, piq), at least 0,
        lower is better; and ``lpips`` (Zhang et al. 2018, torchmetrics, AlexNet), lower is better, only where
        torchvision has AlexNet's weights in its cache already.
    """
    prediction, target = prediction.float().clamp(0, 1), target.float()
    with torch.autocast(prediction.device.type, enabled=False), torch.no_grad():
        scores = {
            "vgg_distance": _bundled(prediction.device).distances(prediction, target),
            # two black frames have no wavelet to weight, and are infinitely alike
            "haarpsi": haarpsi(prediction, target, reduction="none").clamp_max(1),
            "gmsd": gmsd(prediction, target, reduction="none"),
        }
        if alexnet_path().exists():
            colors = [images.expand(-1, 3, -1, -1) for images in (prediction, target)]
            lpips = _lpips(prediction.device)
            scores["lpips"] = lpips(*colors).reshape(len(target))
            lpips.reset()  # it would keep every frame's score
    return scores


def temporal_error(prediction: Tensor, target: Tensor, video: Tensor, frame: Tensor) -> Tensor:
    """How wrongly frames change: mean absolute error of each frame's difference to the one before it.

    What a viewer sees of errors that come and go; a constant error has none. The mean is over pixels of
    ``|(p[t] - p[t-1]) - (y[t] - y[t-1])|``, with predictions clamped.

    Args:
        prediction: (N, C, H, W), the frames of a video one after the other.
        target: (N, C, H, W) in [0, 1].
        video: (N,) index of the video that each frame belongs to.
        frame: (N,) index of the frame within its video.

    Returns:
        (N,) in [0, 2], lower is better; NaN for a frame that does not follow the one given before it in a video.
    """
    error = prediction.float().clamp(0, 1) - target.float()
    changes = error.diff(dim=0).abs().flatten(1).mean(1)
    follows = (video.diff() == 0) & (frame.diff() == 1)
    return F.pad(changes.where(follows, torch.nan), (1, 0), value=torch.nan)


@lru_cache
def _bundled(device: torch.device) -> Perceptual:
    return Perceptual("bundled").to(device)


@lru_cache
def _lpips(device: torch.device) -> LearnedPerceptualImagePatchSimilarity:
    return LearnedPerceptualImagePatchSimilarity("alex", reduction="none", normalize=True).to(device)


def psnr_eq2(prediction: Tensor, target: Tensor, peak: float = 255.0) -> Tensor:
    """Paper's Eq. 2 and 3: PSNR of each (C, H, W) image with ``L = peak``, in dB, at most 100; shape (B,)."""
    mse = (prediction - target).square().flatten(1).mean(1)
    return (10 * torch.log10(peak**2 / mse)).clamp_max(MAX_DB)


def ssim_eq1(prediction: Tensor, target: Tensor, k1: float = 0.01, k2: float = 0.03) -> Tensor:
    """Paper's Eq. 1: SSIM over the whole image, without a window and with the constants as printed; shape (B,)."""
    x, y = prediction.flatten(1).double(), target.flatten(1).double()
    mean_x, mean_y = x.mean(1), y.mean(1)
    covariance = (x * y).mean(1) - mean_x * mean_y
    variances = x.var(1, correction=0) + y.var(1, correction=0)
    luminance = (2 * mean_x * mean_y + k1) / (mean_x.square() + mean_y.square() + k1)
    return (luminance * (2 * covariance + k2) / (variances + k2)).float()


SCORES = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "psnr_eq2": "Eq. 2 (dB)",
    "ssim_eq1": "Eq. 1",
    "vgg_distance": "VGG distance",
    "haarpsi": "HaarPSI",
    "gmsd": "GMSD",
    "lpips": "LPIPS",
    "temporal_error": "temporal error",
    "psnr_published": "published PSNR",
    "ssim_published": "published SSIM",
}


NOT_ALWAYS = ("gmsd", "lpips", "temporal_error", "psnr_published", "ssim_published")
