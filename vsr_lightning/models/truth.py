"""The ceiling."""

from torch import Tensor

from vsr_lightning.models.network import Network, Takes


class Truth(Network):
    """The true frames themselves, to know what a metric says of perfect outputs: ``model=truth``, in evaluations.

    Args:
        takes: ``window`` or ``clip``.
        channels: of a frame, as the networks have it that it is compared with; any number will do.
    """

    sees = "target"

    def __init__(self, takes: Takes = "window", channels: int = 1) -> None:
        super().__init__()
        self.takes, self.channels = takes, channels

    def forward(self, target: Tensor) -> Tensor:
        return target
