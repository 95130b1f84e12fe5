"""Distortions of equal PSNR, and which of them a criterion prefers."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from piq import haarpsi
from torch import Tensor
from torchvision.utils import save_image

from vsr_lightning.data import MovingMNIST
from vsr_lightning.data.moving_mnist.generated import FRAMES, TRAIN, VIDEOS
from vsr_lightning.data.windows import fixed_windows
from vsr_lightning.degradation import to_unit_range
from vsr_lightning.feature_network.distortions import blur, erase, noise, shift, smooth_field
from vsr_lightning.losses import Perceptual
from vsr_lightning.losses.metric_losses import ssim
from vsr_lightning.losses.vgg import imagenet_path
from vsr_lightning.metrics import psnr_eq2
from vsr_lightning.utils.checks import check_number
from vsr_lightning.utils.files import write_text
from vsr_lightning.utils.formatting import markdown

Criterion = Callable[[Tensor, Tensor], Tensor]  # (B, 1, H, W) spoiled and sharp -> (B,), lower is better
HALVINGS = 30  # of the range of strengths: to less than float32 resolves
SHOWN = 8  # frames in the picture
CHUNK = 50  # images at once: what a full VGG-19 takes a gigabyte for


def measure_preferences(cfg: DictConfig, folder: Path) -> str:
    """Return the table that the config describes as markdown; it and ``distortions.png`` are left in ``folder``.

    Raises:
        ValueError: a value is out of range.
    """
    check_number("seed", cfg.seed, 0)
    check_number("frames", cfg.frames, 1, VIDEOS - TRAIN)
    data: MovingMNIST = instantiate(cfg.data)
    windows = fixed_windows(0, videos=data.test_videos, starts=FRAMES)
    sharp = to_unit_range(torch.from_numpy(data.videos.frames[windows.video, windows.start][:, None]))
    names = [cfg.features] if isinstance(cfg.features, str) else list(cfg.features or ())
    if imagenet_path().exists() and "imagenet" not in names:
        names.append("imagenet")
    networks = {name: Perceptual(name) for name in names}
    criteria: dict[str, Criterion] = {f"perceptual, {name}": network.distances for name, network in networks.items()}
    criteria["HaarPSI"] = lambda distorted, sharp: 1 - haarpsi(distorted, sharp, reduction="none")
    criteria["SSIM"] = lambda distorted, sharp: 1 - ssim(distorted, sharp)
    distorted = distort_to_equal_psnr(sharp, torch.Generator().manual_seed(cfg.seed))
    psnr = psnr_eq2(next(iter(distorted.values())), sharp, peak=1)
    text = "\n".join(
        [
            markdown(preference_rows(distorted, sharp, criteria)),
            "",
            f"Share of {len(sharp)} frames, all four distortions of a frame at the PSNR of the shift by one pixel "
            f"({psnr.mean():.2f} dB on average). The standard error is at most {50 / len(sharp) ** 0.5:.1f} %; 50 % is "
            "a toss of a coin. MSE is indifferent by construction.",
            f"Data: {data.videos.description}.",
            *(f"Features {name}: SHA-256 {network.features.checksum[:12]}." for name, network in networks.items()),
            "",
        ]
    )
    write_text(folder / "preferences.md", text)
    rows = torch.cat([sharp[:SHOWN], *(images[:SHOWN] for images in distorted.values())])
    save_image(rows, folder / "distortions.png", nrow=SHOWN)
    return text


def distort_to_equal_psnr(sharp: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Spoil each image (B, 1, H, W) in four ways, clamped to [0, 1] and all at the PSNR of a shift by one pixel."""
    drawn = torch.randn(sharp.shape, generator=generator)
    field = smooth_field(tuple(sharp.shape), generator)  # type: ignore[arg-type]
    shifted = shift(sharp)
    psnr = psnr_eq2(shifted, sharp, peak=1)
    return {
        "shift": shifted,
        "blur": at_psnr(lambda level: blur(sharp, 5 * level, kernel_size=31), sharp, psnr),
        "noise": at_psnr(lambda level: noise(sharp, level, drawn), sharp, psnr),
        "missing strokes": at_psnr(lambda level: erase(sharp, 8 * level - 4, field), sharp, psnr),
    }


def at_psnr(distort: Callable[[Tensor], Tensor], sharp: Tensor, psnr: Tensor) -> Tensor:
    """Find each image's strength in [0, 1] at which its PSNR is (B,) ``psnr``; return the images.

    Args:
        distort: (B,) strengths -> images; the error grows with the strength.
        sharp: (B, C, H, W) in [0, 1].
        psnr: in dB.

    Raises:
        ValueError: an image can't be spoiled that much, or not that little.
    """
    low, high = torch.zeros_like(psnr), torch.ones_like(psnr)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_much = psnr_eq2(distort(middle).clamp(0, 1), sharp, peak=1) < psnr
        low, high = torch.where(too_much, low, middle), torch.where(too_much, middle, high)
    images = distort((low + high) / 2).clamp(0, 1)
    if (worst := (psnr_eq2(images, sharp, peak=1) - psnr).abs().max()) > 0.05:
        raise ValueError(f"a distortion misses the PSNR asked for by {worst:.2f} dB: spoil other frames, or less")
    return images


def preference_rows(
    distorted: dict[str, Tensor], sharp: Tensor, criteria: dict[str, Criterion]
) -> list[dict[str, str]]:
    """Return a row a pair of distortions: in which share of the images each criterion finds the first one better."""
    distances = {
        criterion: {
            name: torch.cat([distance(*pair) for pair in zip(images.split(CHUNK), sharp.split(CHUNK), strict=True)])
            for name, images in distorted.items()
        }
        for criterion, distance in criteria.items()
    }
    rows = []
    for first, second in combinations(distorted, 2):
        row = {"prefers": first, "to": second, "mse": "equal"}
        for criterion, of in distances.items():
            row[criterion] = f"{100 * (of[first] < of[second]).float().mean():.0f} %"
        rows.append(row)
    return rows
