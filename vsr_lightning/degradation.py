"""Make low-res windows of sharp ones: bicubic with anti-aliasing, clamp, Gaussian blur; batched, on the device."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_lightning.models.network import check_prediction


class Batch(NamedTuple):
    """Degraded frames, and the sharp ones that a network is to predict from them, float in [0, 1].

    Attributes:
        low_res: (B, T, C, h, w), windows or clips.
        target: (B, C, H, W), the center frame of each window; or (B, K, C, H, W), the K center frames of each clip.
        video: (B,) or (B, K) int64, index of the video that each target belongs to; negative for one that another
            device has as well, which does not count.
        frame: (B,) or (B, K) int64, index of the target within its video.
    """

    low_res: Tensor
    target: Tensor
    video: Tensor
    frame: Tensor

    @property
    def frames(self) -> Tensor:
        """The targets as frames, (N, C, H, W), a clip's one after the other."""
        return self.target.flatten(0, -4)

    def given_to(self, network: object) -> Tensor:
        """Return what a network sees: the low-res frames, or of the ceiling the targets."""
        return self.target if getattr(network, "sees", "low_res") == "target" else self.low_res

    def select_targets(self, frames: Tensor) -> Tensor:
        """Of (B, T, ...) return the frames that have a target, (N, ...), a clip's one after the other."""
        count = self.target.shape[1] if self.target.ndim == 5 else 1
        first = (frames.shape[1] - count) // 2
        return frames[:, first : first + count].flatten(0, 1)

    def middle_frames(self) -> Tensor:
        """Return the position, among :attr:`frames`, of the middle frame of each video, (videos,) int64."""
        _, counts = self.video.flatten().unique_consecutive(return_counts=True)
        return counts.cumsum(0) - counts + counts // 2

    def middle_clips(self, most: int) -> Tensor:
        """Return the positions of the frames in the middle of each video, as many as all have, (videos, T <= most)."""
        _, counts = self.video.flatten().unique_consecutive(return_counts=True)
        frames = min(most, int(counts.min()))
        return self.middle_frames()[:, None] - frames // 2 + torch.arange(frames)

    def windows(self, frames: int) -> "Batch":
        """Cut clips into windows of ``frames`` frames, one around each target."""
        low_res = self.low_res.unfold(1, frames, 1).movedim(-1, 2).flatten(0, 1)
        return Batch(low_res, self.frames, self.video.flatten(), self.frame.flatten())

    def align(self, prediction: Tensor) -> tuple[Tensor, Tensor]:
        """Return prediction and target as frames, (N, C, H, W) each; ValueError if the prediction is of another kind.

        It is (B, C, H, W) of windows; (B, T, C, H, W) of clips, of which the frames with a target are kept.
        """
        if self.target.ndim == 4:
            return check_prediction(prediction, "window"), self.target
        return self.select_targets(check_prediction(prediction, "clip")), self.frames


INTERPOLATIONS = ("bicubic", "bilinear", "matlab")


class Degradation:
    """Downsampling, then blur, as in the paper's section 3.1; ValueError where an argument is out of range.

    Args:
        scale: factor between high-res and low-res.
        interpolation: ``bicubic`` (the text) or ``bilinear`` (the published code), both with anti-aliasing; or
            ``matlab``, see :func:`matlab_downsample`.
        kernel_size: of the blur, odd; 1 leaves it out.
        sigma: lowest and highest blur width, in low-res pixels; the published code draws from U(0.1, 2.0).
    """

    def __init__(
        self, scale: int = 2, interpolation: str = "bicubic", kernel_size: int = 3, sigma: Sequence[float] = (0.1, 2.0)
    ) -> None:
        if scale < 1:
            raise ValueError(f"data.degradation.scale={scale} is out of range: choose at least 1")
        if interpolation not in INTERPOLATIONS:
            choices = ", ".join(INTERPOLATIONS)
            raise ValueError(f"data.degradation.interpolation={interpolation}: choose one of {choices}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"data.degradation.kernel_size={kernel_size} is not an odd number of at least 1")
        if not isinstance(sigma, Sequence) or len(sigma) != 2 or not 0 < sigma[0] <= sigma[1]:
            raise ValueError(f"data.degradation.sigma={sigma} is not [lowest, highest] with 0 < lowest <= highest")
        self.scale, self.interpolation, self.kernel_size = scale, interpolation, kernel_size
        self.sigma = (float(sigma[0]), float(sigma[1]))

    def __call__(self, frames: Tensor, blur_level: Tensor) -> Tensor:
        """Degrade (B, T, C, H, W) windows or clips, uint8 or float in [0, 1], to (B, T, C, h, w), float in [0, 1].

        ``blur_level``, (B,) in [0, 1), says where in its range each window's sigma lies. ValueError for frames of
        another range, or of a size that ``scale`` does not divide.
        """
        return self.blur(self.downsample(frames), blur_level)

    def downsample(self, frames: Tensor) -> Tensor:
        """(B, T, C, H, W) as above -> (B, T, C, h, w) in [0, 1]: the part that is the same whenever a frame is used."""
        return downsample(to_unit_range(frames), self.scale, self.interpolation)

    def blur(self, low_res: Tensor, blur_level: Tensor) -> Tensor:
        """Blur each window of (B, T, C, h, w) with the sigma that its ``blur_level``, (B,) in [0, 1), stands for."""
        low, high = self.sigma
        return gaussian_blur(low_res, low + (high - low) * blur_level, self.kernel_size)


def to_unit_range(frames: Tensor) -> Tensor:
    """Return uint8 frames as float in [0, 1]; refuse floats outside it (ValueError)."""
    if frames.dtype == torch.uint8:
        return frames / 255
    low, high = torch.aminmax(frames)
    if not (low >= 0 and high <= 1):
        raise ValueError(f"frames range from {low:g} to {high:g}: give uint8, or float in [0, 1]")
    return frames


def to_integers(images: Tensor, white: int = 255) -> Tensor:
    """Undo :func:`to_unit_range`, on the CPU: return images as they are saved, clamped and rounded to 0..``white``."""
    whole = (images.detach().float().clamp(0, 1) * white).round()
    return whole.to(torch.uint8 if white == 255 else torch.int32).cpu()


def downsample(frames: Tensor, scale: int, interpolation: str = "bicubic") -> Tensor:
    """Downsample (B, T, C, H, W) frames by ``scale``, with anti-aliasing; cubic overshoot is clamped to [0, 1]."""
    height, width = frames.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"frames of {height}x{width} can't be divided by data.degradation.scale={scale}")
    if interpolation == "matlab":
        return matlab_downsample(frames.flatten(0, 1), scale).unflatten(0, frames.shape[:2])
    size = (height // scale, width // scale)
    low_res = F.interpolate(frames.flatten(0, 1), size=size, mode=interpolation, antialias=True, align_corners=False)
    return low_res.clamp(0, 1).unflatten(0, frames.shape[:2])


def matlab_downsample(frames: Tensor, scale: int) -> Tensor:
    """Downsample (N, C, H, W) in [0, 1] as MATLAB's ``imresize`` does 8-bit pictures, the input of the field's tables.

    That is bicubic interpolation with anti-aliasing by the same kernel as PyTorch's, of frames that are mirrored at
    their edges, where PyTorch's kernel ends, and rounded to 8 bits.
    """
    margin = 4 * scale  # more than half of the kernel, which is four low-res pixels wide
    padded = _mirrored(_mirrored(frames, margin, -2), margin, -1)
    size = [side // scale for side in padded.shape[-2:]]
    low_res = F.interpolate(padded, size=size, mode="bicubic", antialias=True, align_corners=False)
    cut = margin // scale
    return (low_res[..., cut:-cut, cut:-cut].clamp(0, 1) * 255).round() / 255


def _mirrored(frames: Tensor, margin: int, dim: int) -> Tensor:
    """Continue frames beyond both edges by their mirror image, the pixel at the edge included; twice where small."""
    side = frames.shape[dim]
    place = torch.arange(-margin, side + margin, device=frames.device) % (2 * side)
    return frames.index_select(dim, torch.where(place < side, place, 2 * side - 1 - place))


def gaussian_blur(frames: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blur each window of (B, T, C, h, w) with its own sigma, (B,); torchvision's blur takes one sigma per call."""
    if kernel_size == 1:
        return frames
    half = kernel_size // 2
    exponents = _exponents(half, frames.device, frames.dtype) / sigma.to(frames.dtype).square()
    weights = torch.softmax(exponents, 0)[..., None, None, None]  # a Gaussian that adds up to 1
    padded = F.pad(frames.flatten(1, 2), (half,) * 4, mode="reflect")
    return _correlate(_correlate(padded, weights, 2), weights, 3).view_as(frames)


@lru_cache
def _exponents(half: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.arange(-half, half + 1, device=device, dtype=dtype)[:, None].square() / -2


def _correlate(x: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Weigh and add up shifted views: for small kernels faster than a convolution with one group per window."""
    size = x.shape[dim] - len(weights) + 1
    total = x.narrow(dim, 0, size) * weights[0]
    for shift in range(1, len(weights)):
        total.addcmul_(x.narrow(dim, shift, size), weights[shift])
    return total
