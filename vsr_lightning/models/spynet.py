"""Optical flow, coarse to fine, and warping by it."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr_lightning.models.blocks import IMAGENET_MEAN, IMAGENET_STD, init_near_zero


class SPyNet(nn.Module):
    """A spatial pyramid (SPyNet, Ranjan and Black 2017): each level corrects the flow of the coarser one.

    Six levels, width 32 and kernel 7 is the published network. It starts close to no motion.

    Args:
        channels: of a frame, 1 or 3; RGB is normalized as ImageNet is.
        levels: of the pyramid, each half as large as the next.
        width: channels of a level's first convolution; then twice, once and half as many, and two.
        kernel: size of the convolutions, odd.
    """

    def __init__(self, channels: int = 3, levels: int = 6, width: int = 32, kernel: int = 7) -> None:
        super().__init__()
        widths = (2 * channels + 2, width, 2 * width, width, max(width // 2, 1))
        self.levels = nn.ModuleList()
        for _ in range(levels):
            pairs = itertools.pairwise(widths)
            layers = [layer for pair in pairs for layer in (nn.Conv2d(*pair, kernel, padding=kernel // 2), nn.ReLU())]
            last = init_near_zero(nn.Conv2d(widths[-1], 2, kernel, padding=kernel // 2))
            self.levels.append(nn.Sequential(*layers, last))

    def along(self, clip: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the flows between neighbors of (B, T, C, h, w): T - 1 to the next frame, T - 1 to the one before."""
        here, there = clip[:, :-1].flatten(0, 1), clip[:, 1:].flatten(0, 1)
        if not len(here):
            return [], []
        both = self(torch.cat([here, there]), torch.cat([there, here])).unflatten(0, (2, len(clip), -1))
        return list(both[0].unbind(1)), list(both[1].unbind(1))

    def forward(self, here: Tensor, there: Tensor) -> Tensor:
        """(N, C, h, w) each -> (N, 2, h, w): how far right and down in ``there`` each pixel of ``here`` is found."""
        size, step = here.shape[-2:], 2 ** (len(self.levels) - 1)
        whole = [-(-side // step) * step for side in size]  # that halves evenly all the way down
        if here.shape[1] == 3:  # as the published network sees RGB
            mean, std = (here.new_tensor(it)[:, None, None] for it in (IMAGENET_MEAN, IMAGENET_STD))
            here, there = ((image - mean) / std for image in (here, there))
        pair = [here, there]
        pyramid = [[F.interpolate(image, whole, mode="bilinear", align_corners=False) for image in pair]]
        for _ in self.levels[1:]:
            pyramid.insert(0, [F.avg_pool2d(image, 2) for image in pyramid[0]])
        flow = here.new_zeros(len(here), 2, *pyramid[0][0].shape[-2:])
        for number, (level, (one, two)) in enumerate(zip(self.levels, pyramid, strict=True)):
            if number:
                flow = 2 * F.interpolate(flow, one.shape[-2:], mode="bilinear", align_corners=True)
            flow = flow + level(torch.cat([one, warp(two, flow, "border"), flow], 1))
        stretch = flow.new_tensor([size[1] / whole[1], size[0] / whole[0]])[:, None, None]
        return stretch * F.interpolate(flow, size, mode="bilinear", align_corners=False)


def warp(images: Tensor, flow: Tensor, beyond: str = "zeros") -> Tensor:
    """Return (N, C, h, w) where each pixel is fetched from where (N, 2, h, w) ``flow`` points, in pixels, bilinearly.

    Beyond the edge is what ``beyond`` says, as in :func:`torch.nn.functional.grid_sample`.
    """
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    x = 2 * (columns + flow[:, 0]) / max(width - 1, 1) - 1
    y = 2 * (rows + flow[:, 1]) / max(height - 1, 1) - 1
    grid = torch.stack([x, y], -1)
    return F.grid_sample(images.to(grid.dtype), grid, padding_mode=beyond, align_corners=True)
