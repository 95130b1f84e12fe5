"""How the bundled feature network is trained, and what criteria based on feature networks prefer."""

from vsr_lightning.feature_network.digit_frames import DigitFrames

__all__ = ["DigitFrames"]
