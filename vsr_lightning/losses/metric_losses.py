"""Losses that are scores turned round: PSNR, SSIM, and LPIPS where its backbone's weights are."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

BORDER = 5  # half of SSIM's window


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """SSIM (Wang et al. 2004) of each (C, H, W) image in [0, 1]: 11x11 Gaussian window of sigma 1.5; shape (B,).

    The mean is over the windows that lie inside the image, as in the reference and in scikit-image; torchmetrics' own
    mean takes in windows that hang over the edge and see it mirrored, which on our frames differs by up to 0.06.
    """
    _, full = structural_similarity_index_measure(
        prediction, target, data_range=1.0, reduction="none", return_full_image=True
    )
    return full[..., BORDER:-BORDER, BORDER:-BORDER].flatten(1).mean(1)


class PSNR(nn.Module):
    """Minus the mean over images of PSNR in dB (as in Chen et al. 2022, NAFNet): an error counts by its ratio.

    The mean of MSE is ruled by the most blurred images, that of its logarithm is not.

    Args:
        eps: added to each image's MSE, so that an exact image has a finite loss: at most 60 dB at 1e-6.
    """

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, C, H, W) each, range 1 -> scalar, from -60 for equal images upwards."""
        mse = (prediction.float() - target.float()).square().flatten(1).mean(1)
        return 10 * torch.log10(mse + self.eps).mean()


class SSIM(nn.Module):
    """One minus the mean of :func:`ssim`: 0 for equal images, at most 2 (as in Zhao et al. 2017)."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, C, H, W) each, at least 11 pixels high and wide -> scalar."""
        return 1 - ssim(prediction.float(), target.float()).mean()


class LPIPS(nn.Module):
    """Distance in AlexNet's features, weighted as people see it (Zhang et al. 2018; torchmetrics').

    Its weights are buffers outside the saved state, as those of :class:`Perceptual`.

    Raises:
        FileNotFoundError: torchvision's cache has no AlexNet.
    """

    def __init__(self) -> None:
        super().__init__()
        if not alexnet_path().exists():
            raise FileNotFoundError(
                f"LPIPS needs AlexNet's weights: put {alexnet_path().name} in {alexnet_path().parent} "
                f"({AlexNet_Weights.IMAGENET1K_V1.url}), or choose another loss"
            )
        self.network: nn.Module = LearnedPerceptualImagePatchSimilarity("alex", normalize=True).net
        _to_buffers(self.network)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) each, in [0, 1] but not bounded -> scalar, at least 0."""
        colors = (images.expand(-1, 3, -1, -1) for images in (prediction, target))
        distances: Tensor = self.network(*colors, normalize=True)
        return distances.mean()


def alexnet_path() -> Path:
    """Return where torchvision caches its AlexNet."""
    return Path(torch.hub.get_dir()) / "checkpoints" / AlexNet_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]


def _to_buffers(network: nn.Module) -> None:
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.data, persistent=False)
