"""The procedure of the paper's published code (ChadWeatherly/COSC_6398_VSR), and what it makes of Table 1."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vsr_lightning.data import VideoWindows
from vsr_lightning.degradation import Batch, to_unit_range
from vsr_lightning.losses import Perceptual
from vsr_lightning.metrics import psnr_eq2, ssim_eq1
from vsr_lightning.module import SuperResolution

PEAK = 255
PAPER = {"perceptual": (83.24, 1.650e-4), "mse": (83.78, 23.825e-4)}  # Table 1: PSNR, SSIM
EXPLANATION = (
    "Why Table 1 reads 83 dB: the published code compares a prediction in 0..1, as a sigmoid leaves it, with a target "
    "in 0..255. The best that any network can do then is to answer close to 1 everywhere, and black is hardly worse. "
    "PSNR is summed over the six predicted frames of a ten-frame video and divided by the number of videos only, so "
    "the 14 dB per frame that an empty picture scores on Moving MNIST are printed as six times that. The range of the "
    "target decided the table, not the loss: see the rows of the pictures that are 0 or 1 everywhere. The corrected "
    "procedure keeps prediction and target in one range and averages over frames."
)


class PublishedProcedure(SuperResolution):
    """Train against targets in 0..255 on summed gradients, and sum scores over a video's frames.

    Args:
        model: with an output in 0..1, such as ``model.output=sigmoid``.
        loss: as usual; a perceptual one gets the layers and the normalization below.
        layers: of a perceptual loss; the code has relu1_2, 2_2, 3_4, 4_4 and 5_4.
        normalize: whether a perceptual loss normalizes its input as VGG-19 was trained with; the code does not.
        frames: predicted frames of a video.
        how: see :class:`SuperResolution`.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        layers: str | Sequence[str] = "published",
        normalize: bool = False,
        frames: int = 6,
        **how: Any,
    ) -> None:
        if isinstance(loss, Perceptual):
            loss = Perceptual(loss.features, layers, normalize)
        super().__init__(model, loss, **how)
        self.frames = frames

    def objective(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The loss of a prediction in 0..1 against a target in 0..255."""
        return super().objective(prediction, PEAK * target)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Gradients are summed over the windows of a batch, of all devices, not averaged."""
        loss, windows = super().training_step(batch, batch_idx), torch.tensor(float(len(batch.target)))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            windows = self.trainer.strategy.reduce(windows.to(self.device), reduce_op="sum")
        return loss * windows

    def test_scores(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Add ``psnr_published`` and ``ssim_published``: Eq. 1 to 3 as the code applies them."""
        return super().test_scores(prediction, batch) | published_scores(prediction, batch.frames, self.frames)


def published_scores(prediction: Tensor, target: Tensor, frames: int) -> dict[str, Tensor]:
    """Score (B, C, H, W) predictions against targets, both in [0, 1], as the code does; (B,) each.

    A score is ``frames`` times the frame's, so that the mean over whole videos is that of the sums over their frames.
    """
    return {
        "psnr_published": frames * psnr_eq2(prediction, PEAK * target, PEAK),
        "ssim_published": frames * ssim_eq1(prediction, PEAK * target),
    }


def score_constant(data: VideoWindows, value: float, frames: int) -> dict[str, float]:
    """Return the published scores of a prediction that is ``value`` everywhere, over all windows of the test videos."""
    sums = {"psnr_published": 0.0, "ssim_published": 0.0}
    for video in data.test_videos:
        sharp = torch.from_numpy(data.videos.frames[video, data.scored.start : data.scored.stop, None].copy())
        scores = published_scores(torch.full(sharp.shape, value), to_unit_range(sharp), frames)
        sums = {name: total + float(scores[name].mean()) for name, total in sums.items()}
    return {name: total / len(data.test_videos) for name, total in sums.items()}
