"""Frames of two handwritten digits, labeled and distorted: the training data of the networks that read them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vsr_lightning.data.loader import PlanLoader
from vsr_lightning.data.moving_mnist.generated import DIGIT, INK, SIZE, TEST_DIGITS, enlarge, handwriting
from vsr_lightning.degradation import to_unit_range
from vsr_lightning.feature_network.distortions import blur, haze, noise, resample
from vsr_lightning.utils.checks import check_number

DISTORTIONS = ("blur", "haze", "noise", "resample")
MAX_BLUR, MAX_HAZE, MAX_NOISE = 2.0, 0.5, 0.15  # sigma in pixels, share, standard deviation


class FramePlan(NamedTuple):
    """A list of frames to draw: arrays of equal length n."""

    digit: np.ndarray  # (n, 2) int, indices of the two digits among the 1,797
    corner: np.ndarray  # (n, 2, 2) int, their top left corners
    warp: np.ndarray  # (n, 2, 2, 2) float32, output -> input coordinates around the digit's center
    ink: np.ndarray  # (n, 2) float32, the gray value that separates ink from paper: lower is bolder
    level: np.ndarray  # (n, 4) float32 in [0, 1], of each of DISTORTIONS
    seed: np.ndarray  # (n,) int, of the noise


class DrawnFrames(NamedTuple):
    """What the loader yields: frames (B, 1, H, W) uint8, digits (B, 2) int, levels (B, 4) and noise (B, 1, H, W)."""

    frames: Tensor
    digits: Tensor
    level: Tensor
    noise: Tensor


class DigitBatch(NamedTuple):
    """A batch on the device: images (B, 1, H, W) in [0, 1], their two digits (B, 2), distortion levels (B, 4)."""

    images: Tensor
    digits: Tensor
    level: Tensor


class Hands(NamedTuple):
    """How far training digits differ from how they were written: each is drawn uniformly from these ranges."""

    angle: float = 0.25  # up to which they turn, in radians
    shear: float = 0.25  # up to which they slant
    width: tuple[float, float] = (0.85, 1.15)  # by which it is divided
    height: tuple[float, float] = (0.85, 1.15)
    ink: tuple[float, float] = (0.3, 0.6)  # see FramePlan


HANDS = Hands()


def training_frames(epoch: int, *, seed: int, frames: int, digits: range, hands: Hands = HANDS) -> FramePlan:
    """Plan one epoch of bent and bolder or thinner digits; three in four frames may be distorted."""
    rng = np.random.default_rng((seed, epoch))
    angle, shear = (rng.uniform(-limit, limit, (frames, 2)) for limit in (hands.angle, hands.shear))
    low, high = np.transpose([hands.width, hands.height])
    scale = rng.uniform(low, high, (frames, 2, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -1)
    bend = np.zeros((frames, 2, 2, 2))
    bend[..., 0, 0], bend[..., 1, 1], bend[..., 0, 1] = scale[..., 0], scale[..., 1], shear
    return _plan(rng, frames, digits, (rotation @ bend).astype(np.float32), rng.uniform(*hands.ink, (frames, 2)), 0.75)


def fixed_frames(epoch: int, *, seed: int, frames: int, digits: range) -> FramePlan:
    """Plan the same frames in every epoch and every run: digits as they are; every other frame may be distorted."""
    rng = np.random.default_rng((seed,))
    warp = np.tile(np.eye(2, dtype=np.float32), (frames, 2, 1, 1))
    return _plan(rng, frames, digits, warp, np.full((frames, 2), INK), 0.5)


def _plan(rng: np.random.Generator, n: int, digits: range, warp: np.ndarray, ink: np.ndarray, rate: float) -> FramePlan:
    level = rng.random((n, len(DISTORTIONS))) * (rng.random((n, len(DISTORTIONS))) < 0.5)
    level[:, DISTORTIONS.index("resample")] = level[:, DISTORTIONS.index("resample")] > 0
    level *= rng.random((n, 1)) < rate
    digit, corner = rng.integers(digits.start, digits.stop, (n, 2)), rng.integers(0, SIZE - DIGIT + 1, (n, 2, 2))
    seed = rng.integers(2**63, size=n)
    return FramePlan(digit, corner, warp, ink.astype(np.float32), level.astype(np.float32), seed)


def draw_glyphs(digit: Tensor, warp: Tensor, ink: Tensor) -> Tensor:
    """Draw digits with sharp anti-aliased edges, (n, 28, 28) uint8; the identity and ``INK`` leave them as they are."""
    small, _ = handwriting()
    large, fine = enlarge(small[digit]).float(), 4 * DIGIT
    theta = F.pad(warp * (fine / large.shape[-1]), (0, 1))
    grid = F.affine_grid(theta, [len(digit), 1, fine, fine], align_corners=False)
    bent = F.grid_sample(large, grid, align_corners=False)
    return F.avg_pool2d((bent > ink[:, None, None, None]).float(), 4)[:, 0].mul(255).round().byte()


class DrawnDigits(Dataset[DrawnFrames]):
    """Draws a whole batch of frames from its part of the plan."""

    def __getitem__(self, plan: FramePlan) -> DrawnFrames:
        columns = (torch.from_numpy(column).flatten(0, 1) for column in (plan.digit, plan.warp, plan.ink))
        glyphs = draw_glyphs(*columns).unflatten(0, plan.digit.shape).numpy()
        frames = np.zeros((len(glyphs), 1, SIZE, SIZE), np.uint8)
        for frame, pair, corners in zip(frames[:, 0], glyphs, plan.corner.tolist(), strict=True):
            for glyph, (top, left) in zip(pair, corners, strict=True):
                window = frame[top : top + DIGIT, left : left + DIGIT]
                np.maximum(window, glyph, out=window)
        _, labels = handwriting()
        drawn = [np.random.default_rng(seed).standard_normal((1, SIZE, SIZE), np.float32) for seed in plan.seed]
        return DrawnFrames(*map(torch.from_numpy, (frames, labels[plan.digit], plan.level, np.stack(drawn))))


def distort(images: Tensor, level: Tensor, drawn: Tensor) -> Tensor:
    """Apply the distortions in turn, at (B, 4) levels in [0, 1], with noise drawn before; return images in [0, 1]."""
    of = dict(zip(DISTORTIONS, level.unbind(1), strict=True))
    images = torch.where(of["resample"][:, None, None, None] > 0, resample(images), images)
    images = haze(blur(images, MAX_BLUR * of["blur"]), MAX_HAZE * of["haze"])
    return noise(images, MAX_NOISE * of["noise"], drawn).clamp(0, 1)


class DigitFrames(pl.LightningDataModule):
    """Frames of two digits in :class:`DigitBatch`; those of Moving MNIST's test videos are held out from training.

    Args:
        train_frames, val_frames, test_frames: frames per epoch.
        batch_size: frames per step, over all devices.
        seed: draws the training frames, together with the epoch.
        num_workers: loader processes.
        hands: how the training digits are bent.

    Raises:
        ValueError: a number that is out of range.
    """

    def __init__(
        self,
        train_frames: int = 20_000,
        val_frames: int = 2_000,
        test_frames: int = 10_000,
        batch_size: int = 64,
        seed: int = 0,
        num_workers: int = 0,
        hands: Hands = HANDS,
    ) -> None:
        super().__init__()
        for part, count in (("train", train_frames), ("val", val_frames), ("test", test_frames)):
            check_number(f"data.{part}_frames", count, 1)
        check_number("data.batch_size", batch_size, 1)
        check_number("data.seed", seed, 0)
        check_number("data.num_workers", num_workers, 0)
        self.train_frames, self.val_frames, self.test_frames = train_frames, val_frames, test_frames
        self.batch_size, self.seed, self.num_workers = batch_size, seed, num_workers
        self.hands = hands
        known = len(handwriting()[1])
        self.train_digits, self.held_out = range(known - TEST_DIGITS), range(known - TEST_DIGITS, known)

    def train_dataloader(self) -> DataLoader[DrawnFrames]:
        plan = partial(training_frames, seed=self.seed, frames=self.train_frames, digits=self.train_digits)
        return self._loader(partial(plan, hands=self.hands))

    def val_dataloader(self) -> DataLoader[DrawnFrames]:
        return self._loader(partial(fixed_frames, seed=0, frames=self.val_frames, digits=self.held_out))

    def test_dataloader(self) -> DataLoader[DrawnFrames]:
        return self._loader(partial(fixed_frames, seed=1, frames=self.test_frames, digits=self.held_out))

    def on_after_batch_transfer(self, batch: DrawnFrames, dataloader_idx: int) -> DigitBatch:
        return DigitBatch(distort(to_unit_range(batch.frames), batch.level, batch.noise), batch.digits, batch.level)

    def _loader(self, plan: Callable[[int], FramePlan]) -> DataLoader[DrawnFrames]:
        return PlanLoader(DrawnDigits(), plan, self.batch_size, self.num_workers, self.trainer)
