"""Videos, windows of five frames, and the data module that serves them."""

from vsr_lightning.data.digit_frames import DigitFrames
from vsr_lightning.data.moving_mnist import MovingMNIST

__all__ = ["DigitFrames", "MovingMNIST"]
