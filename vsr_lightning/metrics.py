"""The metrics: what each computes from single frames, and the table that says what reports must know of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

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
DESCRIBED = ("title", "higher_is_better", "about", "shown", "form", "sees")  # what a record keeps of a metric
Scores = dict[str, Tensor]  # (B,) by the metric's name
MAX_DB = 100.0  # identical frames have no finite PSNR, and one infinite frame would swallow the mean

_bundled = cache(lambda device: Perceptual("bundled").to(device))
_lpips = cache(lambda to: LearnedPerceptualImagePatchSimilarity("alex", reduction="none", normalize=True).to(to))


@dataclass(frozen=True)
class Metric:
    """One score per frame, and what tables, figures and notes say of it.

    What ``function`` takes and returns depends on what it ``sees``, in [0, 1] and on the test's device:

    - ``frame``: (prediction, target), each (B, C, H, W), single frames -> (B,);
    - ``video``: (prediction, target), each (T, C, H, W), all scored frames of one video -> (T,), or () for all of them;
    - ``set``: (outputs, real frames), each :class:`vsr_lightning.judges.tiles.Tiles` -> (U,), for each unit of the
      outputs; the real frames are of the training videos, which the outputs do not show.

    A frame without a score has NaN, and is left out.
    """

    title: str  # the heading of its column
    higher_is_better: bool
    function: Callable[..., Tensor] | None = None  # None: the module computes it
    about: str = ""  # what it measures, in a few words for the notes below a table
    test_only: bool = True  # whether it is computed on the test set only; else also in training and validation
    shown: Literal["report", "table", "csv"] = "report"  # in all tables and figures, in scores.md and .csv, in .csv
    form: str = ".4f"  # how the score table formats its values
    needs: Callable[[], Path] | None = None  # returns a file without which the metric is left out
    sees: Literal["frame", "video", "set"] = "frame"

    @property
    def compared(self) -> bool:
        """Whether the report compares runs by it."""
        return self.shown == "report"

    @property
    def available(self) -> bool:
        """Whether there is what it needs."""
        return self.function is not None and (self.needs is None or self.needs().exists())


def frame_scores(prediction: Tensor, target: Tensor, luminance: bool = False, crop_border: int = 0) -> Scores:
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
        ValueError: a frame, or what the border leaves of it, is smaller than SSIM's window.
    """
    prediction, target = prediction.float().clamp(0, 1), target.float()
    height, width = target.shape[-2:]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"frames of {height}x{width} are smaller than SSIM's window, {SSIM_WINDOW}: give larger ones")
    if min(height, width) - 2 * crop_border < SSIM_WINDOW:
        left = f"leaves less than {SSIM_WINDOW} pixels of frames of {height}x{width}"
        raise ValueError(f"module.crop_border={crop_border} {left}: lower it")
    rows, columns = (slice(crop_border, side - crop_border) for side in (height, width))
    seen, sharp = prediction[..., rows, columns], target[..., rows, columns]
    if luminance:
        seen, sharp = studio_luminance(seen), studio_luminance(sharp)
    psnr = peak_signal_noise_ratio(seen, sharp, data_range=(0.0, 1.0), dim=(1, 2, 3), reduction="none")
    return {
        "psnr": psnr.clamp_max(MAX_DB),
        "ssim": ssim(seen, sharp),
        "psnr_eq2": psnr_eq2(prediction * 255, target * 255),
        "ssim_eq1": ssim_eq1(prediction * 255, target * 255),
    }


def in_parts(score: Callable[[Tensor, Tensor], Scores], prediction: Tensor, target: Tensor) -> Scores:
    """Return ``score`` of each frame, computed on some frames at a time: large ones would not fit all at once."""
    some = frames_at_once(target)
    parts = [score(*part) for part in zip(prediction.split(some), target.split(some), strict=True)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def frames_at_once(frames: Tensor) -> int:
    """Return how many frames of this size, (..., H, W), to work on at a time."""
    return max(1, PIXELS_AT_ONCE // (frames.shape[-2] * frames.shape[-1]))


def studio_luminance(images: Tensor) -> Tensor:
    """Luminance of RGB as MATLAB's ``rgb2ycbcr`` has it (ITU-R BT.601): black is 16/255 and white 235/255.

    (B, 3, H, W) in [0, 1] -> (B, 1, H, W), not rounded; gray images, (B, 1, H, W), are luminance already and stay.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (65.481 * red + 128.553 * green + 24.966 * blue + 16) / 255


def score_frames(metrics: Mapping[str, Metric], prediction: Tensor, target: Tensor) -> Scores:
    """Score each frame by those of the named metrics that see single frames and have what they need, in full precision.

    (B, 1 or 3, H, W) in [0, 1] each, the prediction clamped to that here -> (B,) by each metric's name.

    Raises:
        ValueError: a metric returned another shape.
    """

    def score(prediction: Tensor, target: Tensor) -> Scores:
        prediction, target = prediction.float().clamp(0, 1), target.float()
        scores = {}
        for name, metric in metrics.items():
            if metric.function and metric.available and metric.sees == "frame":
                scores[name] = metric.function(prediction, target)
                if (shape := tuple(scores[name].shape)) != (len(target),):
                    wrong = f"the metric {name} returned shape {shape} for {len(target)} frames"
                    raise ValueError(f"{wrong}: let its function return one score per frame")
        return scores

    with torch.autocast(prediction.device.type, enabled=False), torch.no_grad():
        return in_parts(score, prediction, target)


def temporal_error(prediction: Tensor, target: Tensor, video: Tensor, frame: Tensor) -> Tensor:
    """Mean over pixels of ``|(p[t] - p[t-1]) - (y[t] - y[t-1])|``, predictions clamped: errors that come and go.

    (N, C, H, W) each, the target in [0, 1], the frames of a video one after the other; ``video`` and ``frame``, (N,)
    each, are the indices of each frame's video and of the frame within it -> (N,) in [0, 2], lower is better; NaN for
    a frame that does not follow the one given before it in a video.
    """
    error = prediction.float().clamp(0, 1) - target.float()
    changes = error.diff(dim=0).abs().flatten(1).mean(1)
    follows = (video.diff() == 0) & (frame.diff() == 1)
    return F.pad(changes.where(follows, torch.nan), (1, 0), value=torch.nan)


def vgg_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Paper's Eq. 5 on the bundled features, whatever the loss looked through; at least 0, shape (B,)."""
    return _bundled(prediction.device).distances(prediction, target)


def lpips(prediction: Tensor, target: Tensor) -> Tensor:
    """LPIPS (Zhang et al. 2018) of torchmetrics with AlexNet, shape (B,)."""
    metric = _lpips(prediction.device)
    scores: Tensor = metric(*(images.expand(-1, 3, -1, -1) for images in (prediction, target))).reshape(len(target))
    metric.reset()  # it would keep every frame's score
    return scores


def _haarpsi(prediction: Tensor, target: Tensor) -> Tensor:  # Reisenhofer et al. 2018
    # two black frames have no wavelet to weight, and are infinitely alike
    return haarpsi(prediction, target, reduction="none").clamp_max(1)


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


GMSD = partial(gmsd, reduction="none")  # Xue et al. 2014
HIGHER, LOWER = True, False  # is better
METRICS = {
    "psnr": Metric("PSNR (dB)", HIGHER, test_only=False),
    "ssim": Metric("SSIM", HIGHER, test_only=False),
    "psnr_eq2": Metric("Eq. 2 (dB)", HIGHER, test_only=False, shown="csv"),
    "ssim_eq1": Metric("Eq. 1", HIGHER, test_only=False, shown="table"),
    "haarpsi": Metric("HaarPSI", HIGHER, _haarpsi, "similarity of Haar wavelets, without a network"),
    "gmsd": Metric("GMSD", LOWER, GMSD, "gradient magnitude similarity deviation, without a network"),
    "vgg_distance": Metric("VGG distance", LOWER, vgg_distance, "Eq. 5 on the bundled VGG-19 features"),
    "lpips": Metric("LPIPS", LOWER, lpips, "perceptual distance learned on AlexNet's features", needs=alexnet_path),
    "temporal_error": Metric("temporal error", LOWER, about="mean absolute error of the change to the next frame"),
    "psnr_published": Metric("published PSNR", HIGHER, shown="table"),
    "ssim_published": Metric("published SSIM", HIGHER, shown="table", form=".3e"),
}


def scored_metrics(records: Iterable[Mapping[str, Any]]) -> dict[str, Metric]:
    """Return the metrics that any run has a score of: :data:`METRICS`, then, without functions, those of configs."""
    known, scored = dict(METRICS), set()
    for record in records:
        scored |= set(record.get("scores") or ())
        module = (record.get("config") or {}).get("module") or {}
        for name, own in (module.get("metrics") or {}).items():
            known.setdefault(name, Metric(**{key: own[key] for key in DESCRIBED if key in own}))
    return {name: metric for name, metric in known.items() if name in scored}
