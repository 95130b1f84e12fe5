"""Losses on pixels and their frequencies, beside ``torch.nn.MSELoss`` and ``torch.nn.L1Loss``."""

import torch
from torch import Tensor, nn


class Charbonnier(nn.Module):
    """Mean of sqrt(d^2 + eps^2): an L1 that is smooth at zero (Lai et al. 2017, LapSRN, with eps 1e-3).

    Args:
        eps: below this, differences count as squares.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, C, H, W) each -> scalar, at least eps."""
        return ((prediction - target).square() + self.eps**2).sqrt().mean()


class FFT(nn.Module):
    """Mean absolute difference of the orthonormal Fourier transforms, real and imaginary parts.

    Lost detail counts as much as lost brightness (Cho et al. 2021, MIMO-UNet, there without the orthonormal scale).
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, C, H, W) each -> scalar."""
        difference = torch.fft.rfft2(prediction.float() - target.float(), norm="ortho")
        return torch.view_as_real(difference).abs().mean()
