"""Losses that are scores turned round: PSNR, SSIM, and LPIPS where its backbone's weights are."""

from functools import partial

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure as torchmetrics_ssim
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

from vsr_lightning.losses.features import as_buffers
from vsr_lightning.losses.vgg import torchvision_path

BORDER = 5  # half of SSIM's window
alexnet_path = partial(torchvision_path, AlexNet_Weights.IMAGENET1K_V1)


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """SSIM (Wang et al. 2004) of each (C, H, W) image in [0, 1]: 11x11 Gaussian window of sigma 1.5; shape (B,).

    The mean is over the windows that lie inside the image, as in the reference and in scikit-image; torchmetrics' own
    mean takes in windows that hang over the edge and see it mirrored, which on our frames differs by up to 0.06. It is
    computed in the images' precision, also under autocast: variances are small differences of large numbers.
    """
    with torch.autocast(prediction.device.type, enabled=False):
        _, full = torchmetrics_ssim(prediction, target, data_range=1.0, reduction="none", return_full_image=True)
    return full[..., BORDER:-BORDER, BORDER:-BORDER].flatten(1).mean(1)


class PSNR(nn.Module):
    """Minus the mean over images of PSNR in dB (Chen et al. 2022, NAFNet): the most blurred do not rule it, as in MSE.

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
    """Distance in AlexNet's features, weighted as people see it (Zhang et al. 2018; torchmetrics'); not saved.

    Raises:
        FileNotFoundError: torchvision's cache has no AlexNet.
    """

    def __init__(self) -> None:
        super().__init__()
        if not (path := alexnet_path()).exists():
            what = f"{path.name} in {path.parent} ({AlexNet_Weights.IMAGENET1K_V1.url})"
            raise FileNotFoundError(f"LPIPS needs AlexNet's weights: put {what}, or choose another loss")
        self.network: nn.Module = as_buffers(LearnedPerceptualImagePatchSimilarity("alex", normalize=True).net)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) each, in [0, 1] but not bounded -> scalar, at least 0."""
        colors = (images.expand(-1, 3, -1, -1) for images in (prediction, target))
        return self.network(*colors, normalize=True).mean()
