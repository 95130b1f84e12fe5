"""Moving MNIST made from scikit-learn's bundled digits: needs no download and writes no file."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

VIDEOS, TRAIN, FRAMES, SIZE = 10_000, 8_000, 20, 64
DIGIT = 28
INK = 0.45  # where the enlarged digits' edge lies
STEP = 0.1  # of the free canvas, per frame: Srivastava et al. 2015
TEST_DIGITS = 360  # the last fifth of the 1,797, which come writer by writer: mostly hands that train nothing


@lru_cache(maxsize=1)
def handwriting() -> tuple[Tensor, np.ndarray]:
    """Return scikit-learn's digits as they are, (1797, 1, 8, 8) in [0, 1], and which digits they are, (1797,) int."""
    from sklearn.datasets import load_digits  # slow to import, needed only when digits are drawn

    small = load_digits()
    return torch.from_numpy(small.images)[:, None] / 16, small.target


def enlarge(small: Tensor) -> Tensor:
    """(n, 1, 8, 8) -> (n, 1, 80, 80), still with soft edges."""
    return F.interpolate(small, size=(80, 80), mode="bicubic", align_corners=False)


@lru_cache(maxsize=1)
def digits() -> np.ndarray:
    """Return scikit-learn's digits with sharp anti-aliased edges, (1797, 28, 28) uint8, in MNIST's margin of 4."""
    small, _ = handwriting()
    sharp = F.avg_pool2d((enlarge(small) > INK).double(), 4)
    return F.pad(sharp, (4, 4, 4, 4))[:, 0].mul(255).round().byte().numpy()


def generate(videos: Iterable[int], seed: int = 0) -> np.ndarray:
    """Make the videos of these indices; video ``i`` is a pure function of ``(seed, i)``.

    Videos below 8,000 draw from the training digits, the others from the test digits.

    Args:
        videos: indices of the n videos to make, each in [0, 10000).
        seed: of the whole set.

    Returns:
        (n, 20, 64, 64) uint8: two digits per video that bounce off the edges, merged by maximum.
    """
    bank, videos = digits(), list(videos)
    glyph, position, velocity = _draw(videos, seed)
    frames = np.zeros((len(videos), FRAMES, SIZE, SIZE), np.uint8)
    for t in range(FRAMES):
        position += velocity
        velocity = np.where((position <= 0) | (position >= 1), -velocity, velocity)
        position = position.clip(0, 1)
        corner = ((SIZE - DIGIT) * position).astype(int)
        for row, pair in enumerate(corner.tolist()):
            for k, (top, left) in enumerate(pair):
                window = frames[row, t, top : top + DIGIT, left : left + DIGIT]
                np.maximum(window, bank[glyph[row, k]], out=window)
    return frames


def labels(videos: Iterable[int], seed: int = 0) -> np.ndarray:
    """Return the two digits that each of these videos of :func:`generate` shows, (n, 2) int in 0..9, in no order."""
    glyph, _, _ = _draw(list(videos), seed)
    return handwriting()[1][glyph]


def _draw(videos: Sequence[int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each video's two of the 1,797 digits, (n, 2), and where they start and how they move, (n, 2, 2) each."""
    known = len(handwriting()[1])
    glyph = np.empty((len(videos), 2), int)
    position, velocity = np.empty((2, len(videos), 2, 2))
    for row, video in enumerate(videos):
        rng = np.random.default_rng((seed, video))
        low, high = (0, known - TEST_DIGITS) if video < TRAIN else (known - TEST_DIGITS, known)
        glyph[row] = rng.integers(low, high, 2)
        position[row] = rng.random((2, 2))
        angle = rng.random(2) * 2 * np.pi
        velocity[row] = STEP * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return glyph, position, velocity
