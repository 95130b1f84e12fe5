"""Optical flow that nothing here trained: Farneback's, by OpenCV (extra ``flow``)."""

import numpy as np
import torch
from torch import Tensor

PYRAMID_SCALE, LEVELS, WINDOW, ITERATIONS, POLY_N, POLY_SIGMA = 0.5, 3, 15, 3, 5, 1.2  # as TecoGAN's tOF has them


def optical_flow(one: Tensor, two: Tensor) -> Tensor:
    """Return the flow from ``one`` to ``two``, (1, H, W) in [0, 1] each: (2, H, W) in pixels, to the right and down.

    ``one[y, x]`` is found at ``two[y + flow[1], x + flow[0]]`` (Farneback 2003).

    Raises:
        ModuleNotFoundError: OpenCV is not installed.
    """
    try:
        from cv2 import calcOpticalFlowFarneback
    except ModuleNotFoundError:
        what = 'install it: pip install "vsr_lightning[flow]", or opencv-python-headless'
        raise ModuleNotFoundError(f"metrics of motion need optical flow by OpenCV: {what}") from None
    before, after = ((255 * frame[0]).round().byte().cpu().numpy() for frame in (one, two))
    start = np.zeros((*before.shape, 2), np.float32)
    options = (PYRAMID_SCALE, LEVELS, WINDOW, ITERATIONS, POLY_N, POLY_SIGMA, 0)
    flow = calcOpticalFlowFarneback(before, after, start, *options)
    return torch.from_numpy(flow).movedim(-1, 0).to(one.device)
