"""Which of several distortions of equal PSNR does a criterion prefer?"""

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import torch
from piq import haarpsi
from torch import Tensor
from torchvision.utils import save_image

from vsr_lightning.data import MovingMNIST
from vsr_lightning.data.moving_mnist.generated import FRAMES
from vsr_lightning.data.windows import fixed_windows
from vsr_lightning.degradation import to_unit_range
from vsr_lightning.feature_network.distortions import blur, erase, noise, shift, smooth_field
from vsr_lightning.losses import Perceptual
from vsr_lightning.losses.metric_losses import ssim
from vsr_lightning.losses.vgg import imagenet_path
from vsr_lightning.metrics import psnr_eq2
from vsr_lightning.utils.files import write_text
from vsr_lightning.utils.formatting import Rows, markdown

Criterion = Callable[[Tensor, Tensor], Tensor]  # (B, 1, H, W) distorted and sharp -> (B,), lower is better
HALVINGS = 30  # of the range of levels: to less than float32 resolves
SHOWN = 8  # frames in the picture
CHUNK = 50  # images at once, for which a full VGG-19 takes a gigabyte


def write_preferences(data: MovingMNIST, features: Sequence[str], seed: int, folder: Path) -> str:
    """Compare which distortions of one frame per test video feature networks, HaarPSI and SSIM prefer.

    Args:
        data: its test videos are used.
        features: names or files of feature networks; ``imagenet`` joins them where its weights are cached.
        seed: draws the noise, and the strokes that go missing.
        folder: where ``preferences.md``, which is returned as well, and ``distortions.png`` go.
    """
    windows = fixed_windows(0, videos=data.test_videos, starts=FRAMES)
    sharp = to_unit_range(torch.from_numpy(data.videos.frames[windows.video, windows.start][:, None]))
    names = dict.fromkeys([*features, *(["imagenet"] if imagenet_path().exists() else [])])
    networks = {name: Perceptual(name) for name in names}
    criteria: dict[str, Criterion] = {f"perceptual, {name}": network.distances for name, network in networks.items()}
    criteria["HaarPSI"] = lambda distorted, sharp: 1 - haarpsi(distorted, sharp, reduction="none")
    criteria["SSIM"] = lambda distorted, sharp: 1 - ssim(distorted, sharp)
    distorted = distort_to_equal_psnr(sharp, torch.Generator().manual_seed(seed))
    psnr = psnr_eq2(next(iter(distorted.values())), sharp, peak=1)
    used = (f"Features {name}: SHA-256 {network.features.checksum[:12]}.\n" for name, network in networks.items())
    text = f"""{markdown(preference_rows(distorted, sharp, criteria))}

Share of {len(sharp)} frames, all four distortions of a frame at the PSNR of the shift by one pixel \
({psnr.mean():.2f} dB on average). The standard error is at most {50 / len(sharp) ** 0.5:.1f} %; 50 % is \
a toss of a coin. MSE can't choose: it is equal by construction.
Data: {data.videos.description}.
{"".join(used)}"""
    write_text(folder / "preferences.md", text)
    rows = torch.cat([sharp[:SHOWN], *(images[:SHOWN] for images in distorted.values())])
    save_image(rows, folder / "distortions.png", nrow=SHOWN)
    return text


def distort_to_equal_psnr(sharp: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Distort (B, 1, H, W) images in four ways, in [0, 1], each to the PSNR of a shift of that image by one pixel."""
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
    """Distort (B, C, H, W) images in [0, 1], each by the level in [0, 1] that gives it its PSNR of (B,), in dB.

    ``distort`` makes images of (B,) levels; the error must grow with them, and one must give the PSNR (ValueError).
    """
    low, high = torch.zeros_like(psnr), torch.ones_like(psnr)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_much = psnr_eq2(distort(middle).clamp(0, 1), sharp, peak=1) < psnr
        low, high = torch.where(too_much, low, middle), torch.where(too_much, middle, high)
    images = distort((low + high) / 2).clamp(0, 1)
    if (worst := (psnr_eq2(images, sharp, peak=1) - psnr).abs().max()) > 0.05:
        raise ValueError(f"a distortion misses the PSNR asked for by {worst:.2f} dB: choose other frames")
    return images


def preference_rows(distorted: dict[str, Tensor], sharp: Tensor, criteria: dict[str, Criterion]) -> Rows:
    """Return one row per pair of distortions: in which share of the images each criterion prefers the first one."""
    rows: Rows = [{"prefers": a, "to": b, "mse": "equal"} for a, b in combinations(distorted, 2)]
    for title, distance in criteria.items():
        of = {
            name: torch.cat([distance(*pair) for pair in zip(images.split(CHUNK), sharp.split(CHUNK), strict=True)])
            for name, images in distorted.items()
        }
        for row in rows:
            row[title] = f"{100 * (of[row['prefers']] < of[row['to']]).float().mean():.0f} %"
    return rows
