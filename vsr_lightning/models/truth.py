"""The ceiling."""

from torch import Tensor

from vsr_lightning.models.network import Network, Takes


class Truth(Network):
    """The true frames themselves, to know what a metric says of perfect outputs: ``model=truth``, in evaluations.

    Args:
        takes: ``window`` or ``clip``.
    """

    sees = "target"

    def __init__(self, takes: Takes = "window") -> None:
        super().__init__()
        self.takes = takes

    def forward(self, target: Tensor) -> Tensor:
        return target
