"""Metrics that were fitted to what people say (extra ``human``); the networks and losses here know nothing of them.

Each takes all scored frames of a video, prediction and target, (T, 1 or 3, H, W) in [0, 1]. Higher is better.

Raises:
    ModuleNotFoundError: the package that computes it is not installed.
"""

import logging
from functools import cache
from typing import Any

import torch
from torch import Tensor

INSTALL = 'install it: pip install "vsr_lightning[human]"'


class ColorVideoVDP:
    """ColorVideoVDP (Mantiuk et al. 2024) in JOD, at most 10: one less is a video that 75 % like less than the truth.

    A model of what eyes see, flicker included; it has no network, and depends on display and distance.

    Args:
        display: one of the package's, such as ``standard_fhd``, a 24 inch screen of 1920x1080 seen from 60 cm, which
            shows 38 pixels per degree.
        frames_per_second: at which the video is shown.
    """

    def __init__(self, display: str = "standard_fhd", frames_per_second: float = 25.0) -> None:
        self.display, self.frames_per_second = display, frames_per_second

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        metric = _cvvdp(self.display, target.device)
        shown = (_rgb(frames).movedim(0, 1)[None] for frames in (prediction, target))
        jod, _ = metric.predict(*shown, dim_order="BCFHW", frames_per_second=self.frames_per_second)
        return torch.as_tensor(jod, dtype=torch.float32, device=target.device).reshape(())

    def geometry(self) -> str:
        """Return display and distance in words, as the package prints them for papers."""
        return str(_cvvdp(self.display, torch.device("cpu")).get_info_string())


def vmaf(prediction: Tensor, target: Tensor) -> Tensor:
    """VMAF (Netflix) of each frame, (T,) in [0, 100], by torchmetrics; made for large video: read it as a rank."""
    try:
        import vmaf_torch  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"vmaf needs vmaf-torch: {INSTALL}") from None
    from torchmetrics.functional.video import video_multi_method_assessment_fusion

    made, true = (_rgb(frames).movedim(0, 1)[None] for frames in (prediction, target))
    scores = video_multi_method_assessment_fusion(made, true)
    assert isinstance(scores, Tensor)
    return scores[0].clamp(0, 100)


@cache
def _cvvdp(display: str, device: torch.device) -> Any:
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it says that there is no compiler for GPUs
    try:
        from pycvvdp import cvvdp
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"ColorVideoVDP needs cvvdp: {INSTALL}") from None
    return cvvdp(display_name=display, device=device, quiet=True)


def _rgb(frames: Tensor) -> Tensor:
    return frames.expand(-1, 3, -1, -1).contiguous()
