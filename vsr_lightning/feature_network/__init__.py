"""Where the bundled feature network comes from, and what it is worth."""

from vsr_lightning.feature_network.digit_frames import DigitFrames

__all__ = ["DigitFrames"]
