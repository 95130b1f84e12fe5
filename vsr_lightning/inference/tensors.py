"""Frames of a video as tensors, and predictions as what is saved."""

import numpy as np
import torch
from torch import Tensor

from vsr_lightning.degradation import to_unit_range
from vsr_lightning.inference.transparency import filled


def as_tensor(pixels: np.ndarray, white: int = 255) -> Tensor:
    """(H, W, C) of 0 to ``white`` -> (C, H, W), of uint8 as it is, and else in [0, 1]; hidden colors are replaced."""
    image = torch.from_numpy(np.ascontiguousarray(pixels if pixels.dtype == np.uint8 else pixels / np.float32(white)))
    image = image.movedim(-1, 0)
    return filled(to_unit_range(image)) if len(image) in (2, 4) else image


def as_array(image: Tensor, deep: bool = False) -> np.ndarray:
    """(C, H, W) -> (H, W, C) of uint8, or of uint16."""
    pixels = image.movedim(0, -1).numpy()
    return pixels.astype(np.uint16) if deep else pixels
