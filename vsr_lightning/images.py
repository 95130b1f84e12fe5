"""Frames side by side: as a picture, and as a clip."""

import io

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from vsr_lightning.degradation import to_integers
from vsr_lightning.models import Bicubic

GRAY = 0.5  # between the frames
MILLISECONDS = 200  # a frame of a GIF is shown
SMALL = 64  # frames of this height are shown at twice their size


def references(low_res: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return ``truth``, ``low-res`` (each pixel enlarged) and ``bicubic``, (B, C, H, W) each; all in [0, 1]."""
    return {
        "truth": target,
        "low-res": F.interpolate(low_res, target.shape[-2:], mode="nearest"),
        "bicubic": Bicubic(target.shape[-1] // low_res.shape[-1])(low_res[:, None]),
    }


def side_by_side(low_res: Tensor, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return ``low-res``, ``bicubic``, ``prediction`` (clamped) and ``truth``, as :func:`references` does."""
    shown = {**references(low_res, target), "prediction": prediction.float().clamp(0, 1)}
    return {kind: shown[kind] for kind in ("low-res", "bicubic", "prediction", "truth")}


def grid(columns: dict[str, Tensor]) -> Tensor:
    """Return a (3, H, W) picture, small frames enlarged: one row per image of the batch, one column per kind."""
    rows = torch.stack(list(columns.values()), dim=1).flatten(0, 1)
    return _enlarged(make_grid(rows.cpu(), nrow=len(columns), pad_value=GRAY), rows.shape[-2])


def strip(columns: dict[str, Tensor]) -> Tensor:
    """Return a clip (T, C, H, W'): the kinds beside each other, one frame per image of the batch."""
    return torch.cat([F.pad(images, (0, 2), value=GRAY) for images in columns.values()], dim=-1)[..., :-2]


def _enlarged(images: Tensor, height: int) -> Tensor:
    times = max(1, 2 * SMALL // height)
    return images.repeat_interleave(times, -1).repeat_interleave(times, -2)


def gif(clip: Tensor) -> bytes:
    """Return a (T, 1 or 3, H, W) clip in [0, 1] as a GIF that repeats for ever, small frames enlarged."""
    first, *others = map(to_pil_image, _enlarged(to_integers(clip), clip.shape[-2]))
    buffer = io.BytesIO()
    first.save(buffer, "gif", save_all=True, append_images=others, duration=MILLISECONDS, loop=0)
    return buffer.getvalue()
