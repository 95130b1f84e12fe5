"""Colors where a transparent picture has none to see."""

import torch
import torch.nn.functional as F
from torch import Tensor


def filled(frame: Tensor) -> Tensor:
    """Replace the hidden colors of (2 or 4, H, W), alpha last, by those of what is seen around them.

    What files hold where nothing is seen is arbitrary, and a network would let it shine into the edge. The colors are
    pulled from coarser and coarser means of what is seen (push-pull, Gortler et al. 1996).
    """
    colors, alpha = frame[None, :-1], frame[None, -1:]
    seen = (alpha > 0).to(colors.dtype)
    return torch.cat([_pulled(colors * seen, seen), alpha], dim=1)[0]


def _pulled(colors: Tensor, weight: Tensor) -> Tensor:
    """Return (1, C, H, W) colors where the weight is 1, and elsewhere those of the next coarser level."""
    if min(weight.shape[-2:]) == 1 or bool((weight > 0).all()):
        return colors / weight.clamp_min(1e-6)
    halves = [F.avg_pool2d(it, 2, ceil_mode=True) for it in (colors, weight)]
    coarser = F.interpolate(_pulled(*halves), colors.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(weight > 0, colors / weight.clamp_min(1e-6), coarser)
