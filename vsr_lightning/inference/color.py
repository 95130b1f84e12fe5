"""Gray networks for color videos, and color networks for gray ones."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

RED, GREEN, BLUE = 0.299, 0.587, 0.114  # BT.601's luminance


def predict_any_color(predict: Callable[[Tensor], Tensor], frames: Tensor, channels: int | None) -> Tensor:
    """Let a network of gray frames serve RGB, or the other way round; return (T', C, H, W), not bounded.

    In color videos a gray network super-resolves luminance, and chroma is upsampled bicubically, as the field does. An
    RGB network is given a gray frame three times, and its prediction is turned to gray. Alpha is a gray video.

    Args:
        predict: (T, ``channels``, h, w) -> (T', ``channels``, H, W), the T' frames that it predicts.
        frames: (T, C, h, w) in [0, 1], with C = 1 or 3, and one more where alpha comes last.
        channels: 1, 3, or None for a network that takes both.
    """
    if frames.shape[1] in (2, 4):
        parts = (predict_any_color(predict, part, channels) for part in (frames[:, :-1], frames[:, -1:]))
        return torch.cat([*parts], dim=1)
    if channels in (None, frames.shape[1]):
        return predict(frames)
    if frames.shape[1] == 1:
        return to_ycbcr(predict(frames.expand(-1, 3, -1, -1)))[:, :1]
    ycbcr = to_ycbcr(frames)
    luminance = predict(ycbcr[:, :1]).to(ycbcr.dtype)
    cut = (len(frames) - len(luminance)) // 2
    chroma = ycbcr[cut : len(frames) - cut, 1:]
    chroma = F.interpolate(chroma, size=luminance.shape[-2:], mode="bicubic", align_corners=False)
    return to_rgb(torch.cat([luminance, chroma], dim=1))


def to_ycbcr(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [0, 1] -> Y in [0, 1], Cb and Cr in [-0.5, 0.5] (ITU-R BT.601, full range)."""
    red, green, blue = rgb.unbind(1)
    y = RED * red + GREEN * green + BLUE * blue
    return torch.stack([y, (blue - y) / (2 - 2 * BLUE), (red - y) / (2 - 2 * RED)], dim=1)


def to_rgb(ycbcr: Tensor) -> Tensor:
    """Undo :func:`to_ycbcr`."""
    y, cb, cr = ycbcr.unbind(1)
    red, blue = y + (2 - 2 * RED) * cr, y + (2 - 2 * BLUE) * cb
    return torch.stack([red, (y - RED * red - BLUE * blue) / GREEN, blue], dim=1)
