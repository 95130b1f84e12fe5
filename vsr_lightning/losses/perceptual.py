"""The perceptual loss of the paper's Eq. 5 (after Johnson et al. 2016)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr_lightning.losses.features import LAYERS, Features, Normalise, load_features

TAPS = {
    "all": tuple(LAYERS),  # the text: "each ReLU activation"
    "published": ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"),  # the published code
}


class Perceptual(nn.Module):
    """Mean absolute difference of VGG-19's ReLU outputs, a layer at a time, summed over the layers (Eq. 5).

    The network's weights are buffers outside the saved state: never trained, never in a checkpoint, the same in
    ``train()`` and ``eval()``.

    Args:
        features: the network to look through, or the name it is loaded by (:func:`load_features`).
        taps: ``all`` (16 layers), ``published`` (5), or names such as ``relu3_4``.
        normalise: whether images in [0, 1] are normalised as VGG-19 was trained with; False takes them as they come.

    Raises:
        ValueError: unknown or repeated taps, or features that can't be used.
    """

    def __init__(
        self, features: Features | str = "auto", taps: str | Sequence[str] = "all", normalise: bool = True
    ) -> None:
        super().__init__()
        chosen = TAPS.get(taps, (taps,)) if isinstance(taps, str) else tuple(taps)
        unknown = [tap for tap in chosen if tap not in LAYERS]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"loss.taps={taps} is not all, published, or a list of different names of {', '.join(LAYERS)}"
            )
        self.features = features if isinstance(features, Features) else load_features(features)
        self.taps = tuple(tap for tap in LAYERS if tap in chosen)
        self.depth = 1 + list(LAYERS).index(self.taps[-1])
        for name, (weight, bias) in list(self.features.layers.items())[: self.depth]:
            self.register_buffer(f"{name}_weight", weight, persistent=False)
            self.register_buffer(f"{name}_bias", bias, persistent=False)
        self.normalise = Normalise() if normalise else Normalise((0.0,) * 3, (1.0,) * 3)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare (B, 1 or 3, H, W) images; the mean of :meth:`distances`."""
        return self.distances(prediction, target).mean()

    def distances(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare image by image.

        Args:
            prediction: (B, 1 or 3, H, W), not bounded, gradients flow to it.
            target: the same shape in [0, 1]; needs no graph.

        Returns:
            (B,), at least 0.
        """
        x, distance = self.normalise(prediction), prediction.new_zeros(len(prediction))
        with torch.no_grad():
            y = self.normalise(target)
        for name in list(LAYERS)[: self.depth]:
            x = self._layer(name, x)
            with torch.no_grad():
                y = self._layer(name, y)
            if name in self.taps:
                distance = distance + F.l1_loss(x, y, reduction="none").flatten(1).mean(1)
        return distance

    def _layer(self, name: str, x: Tensor) -> Tensor:
        if LAYERS[name].pool_first:
            x = F.max_pool2d(x, 2)
        return F.relu(F.conv2d(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"), padding=1))
