"""A sharp video made low-res, super-resolved, and shown and scored beside what it was."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vsr_lightning.degradation import Degradation
from vsr_lightning.images import side_by_side, strip
from vsr_lightning.metrics import frame_scores


class Comparison(NamedTuple):
    """What came of a sharp video.

    Attributes:
        prediction: (K, C, H, W) in [0, 1], every frame or the K in the middle.
        clip: (K, C, H', W'), low-res, bicubic, prediction and truth side by side, each pixel doubled.
        about: what to tell of it, line by line.
    """

    prediction: Tensor
    clip: Tensor
    about: list[str]


def compare(
    sharp: Tensor, degradation: Degradation, blur_level: float, predict: Callable[[Tensor], Tensor]
) -> Comparison:
    """Degrade a video, predict it, and score both the prediction and bicubic upsampling.

    Args:
        sharp: (T, C, H, W) in [0, 1]; rows and columns that the scale does not divide are left out.
        degradation: of the whole video alike.
        blur_level: place in the range of its sigma, 0 to 1.
        predict: (T, C, h, w) -> (K, C, H, W), every frame or the K in the middle.

    Raises:
        ValueError: ``blur_level`` is out of range.
    """
    if not 0 <= blur_level <= 1:
        raise ValueError(f"blur_level={blur_level} is out of range: choose a place in data.degradation.sigma, 0 to 1")
    given, about = sharp, []
    height, width = (size - size % degradation.scale for size in sharp.shape[-2:])
    sharp = sharp[..., :height, :width]
    if sharp.shape != given.shape:
        about = [f"cropped from {_size(given)} to {_size(sharp)}, which scale {degradation.scale} divides"]
    low_res = degradation(sharp[None], torch.tensor([float(blur_level)]))[0]
    prediction = predict(low_res)
    cut = (len(sharp) - len(prediction)) // 2
    kept = slice(cut, cut + len(prediction))
    columns = side_by_side(low_res[kept], prediction, sharp[kept])
    del columns["error"]
    clip = strip(columns).repeat_interleave(2, -1).repeat_interleave(2, -2)
    about += [_scores(kind, columns[kind], sharp[kept]) for kind in ("bicubic", "prediction")]
    return Comparison(prediction, clip, [*about, f"{', '.join(columns)} side by side"])


def _size(video: Tensor) -> str:
    return f"{video.shape[-1]}x{video.shape[-2]}"


def _scores(kind: str, images: Tensor, sharp: Tensor) -> str:
    scores = frame_scores(images, sharp)
    return f"{kind}: psnr {scores['psnr'].mean():.2f} dB, ssim {scores['ssim'].mean():.3f}"
