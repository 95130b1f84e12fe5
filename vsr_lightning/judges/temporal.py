"""How a video moves and flickers, by the names and definitions of the literature.

Each takes all scored frames of a video, prediction and target, (T, C, H, W) in [0, 1], and returns one score for each,
(T,), of the step from the frame before; the first frame has none, which is NaN. Lower is better.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_lightning.judges.flow import optical_flow
from vsr_lightning.metrics import studio_luminance
from vsr_lightning.models.spynet import warp

FrameDistance = Callable[[Tensor, Tensor], Tensor]  # (B, C, H, W), (B, C, H, W) -> (B,)


class TLP:
    """tLP of Chu et al. (2020): does the picture change, perceptually, as much as the truth from frame to frame?

    Theirs is of LPIPS, and printed times 100.

    Args:
        distance: LPIPS there; here any, such as :class:`vsr_lightning.judges.Distance`.
    """

    def __init__(self, distance: FrameDistance) -> None:
        self.distance = distance

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        made, true = (self.distance(frames[1:], frames[:-1]) for frames in (prediction, target))
        return _from_second((made - true).abs())


def tof(prediction: Tensor, target: Tensor) -> Tensor:
    """Return tOF of Chu et al. (2020): mean distance, in pixels, of the flow in the prediction to that in the truth.

    Over whole frames, where their code leaves out eight pixels at each side.
    """
    made, true = (flow_along(frames) for frames in (prediction, target))
    return _from_second(_squared(made - true).sqrt().mean((1, 2, 3)))


def warping_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Warping error of Lai et al. (2018): squared difference of a frame to the last one, warped to it by the true flow.

    Means are over pixels that the last frame shows, too, see :func:`visible`. The truth's own is not 0, since flow is
    an estimate: ``model=truth`` says how large it is.
    """
    forward, backward = flow_along(target), flow_along(target, reverse=True)
    there = visible(forward, backward)
    changes = (prediction[1:] - warp(prediction[:-1], backward, "border")).square().mean(1, keepdim=True)
    return _from_second((changes * there).sum((1, 2, 3)) / there.sum((1, 2, 3)).clamp_min(1))


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Return where a frame shows what the one before it shows, (N, 1, H, W) of 0 and 1, from flow both ways.

    Occlusions and motion boundaries are found by the rules of Sundaram et al. (2010), as Lai et al. have them.
    """
    returned = warp(forward, backward, "border")
    length, returned_length, error = (_squared(flow) for flow in (backward, returned, backward + returned))
    occluded = error > 0.01 * (length + returned_length) + 0.5
    down, right = (F.pad(backward.diff(dim=dim), pad) for dim, pad in ((2, (0, 0, 0, 1)), (3, (0, 1))))
    boundary = _squared(down) + _squared(right) > 0.01 * length + 0.002
    return (~occluded & ~boundary).to(backward.dtype)


def flow_along(frames: Tensor, reverse: bool = False) -> Tensor:
    """(T, C, H, W) -> (T - 1, 2, H, W): from each frame to the next; reversed, from each to the one before it."""
    gray = studio_luminance(frames)
    return torch.stack([optical_flow(two, one) if reverse else optical_flow(one, two) for one, two in pairwise(gray)])


def _squared(flow: Tensor) -> Tensor:
    return flow.square().sum(1, keepdim=True)


def _from_second(scores: Tensor) -> Tensor:
    return F.pad(scores, (1, 0), value=torch.nan)
