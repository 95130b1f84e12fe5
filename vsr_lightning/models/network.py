"""What a network says about itself, which data, ``predict`` and reports ask for."""

from typing import Literal

from torch import Tensor, nn

Takes = Literal["window", "clip"]


class Network(nn.Module):
    """Super-resolves frames: (B, T, C, h, w), low-res in [0, 1], becomes (B, C, H, W) or (B, T, C, H, W).

    Attributes:
        takes: ``window`` if the network predicts the center one of the T frames, ``clip`` if it predicts all of them.
        channels: C, 1 for gray and 3 for RGB; None takes any.
        size: (h, w) that the network is fixed to; None takes any.
        sees: what it is given, ``low_res`` or, of the ceiling that no network reaches, ``target``.
    """

    takes: Takes = "window"
    channels: int | None = None
    size: tuple[int, int] | None = None
    sees: Literal["low_res", "target"] = "low_res"

    def training_loss(self, low_res: Tensor, target: Tensor) -> Tensor | None:
        """Return the loss of a network that owns it, such as a diffusion network; None where the run's loss compares.

        ``low_res`` is (B, T, C, h, w), and ``target`` (B, C, H, W) of windows or (B, T, C, H, W) of clips. Validation
        and test score the prediction all the same.
        """
        return None

    def skip(self, low_res: Tensor) -> Tensor | None:
        """Return what the network's layers add to, shaped as its prediction; None where they add to nothing."""
        return None


def encodes_frames(network: nn.Module) -> bool:
    """Return whether a network of windows has :meth:`encode` of single frames and :meth:`fuse` of a window's."""
    return hasattr(network, "encode") and hasattr(network, "fuse")


def check_prediction(prediction: Tensor, takes: Takes) -> Tensor:
    """Return a network's prediction; raise ValueError if it is not what ``takes`` stands for."""
    if (prediction.ndim == 5) != (takes == "clip"):
        predicts, right = ("every frame", "clip") if prediction.ndim == 5 else ("one frame", "window")
        raise ValueError(f"the network predicts {predicts} of what it is given: let its class say takes = {right!r}")
    return prediction
