"""The data of the paper."""

from vsr_lightning.data.moving_mnist.datamodule import MovingMNIST

__all__ = ["MovingMNIST"]
