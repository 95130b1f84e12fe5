"""Frames between arrays, as files have them, and tensors, as networks take them."""

import numpy as np
import torch
from torch import Tensor


def in_unit_range(images: Tensor) -> Tensor:
    """Return images as they are scored: clamped to [0, 1], in float32, on the CPU."""
    return images.detach().float().clamp(0, 1).cpu()


def as_tensor(frame: np.ndarray) -> Tensor:
    """(H, W) or (H, W, 3), as a video has it -> (1, H, W) or (3, H, W)."""
    return torch.from_numpy(np.atleast_3d(np.ascontiguousarray(frame))).permute(2, 0, 1)


def as_array(image: Tensor) -> np.ndarray:
    """Undo :func:`as_tensor`."""
    return image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()
