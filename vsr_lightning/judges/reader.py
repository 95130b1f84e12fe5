"""Are the digits of a frame legible? Asked of a network that reads them, and that no loss looks through."""

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from vsr_lightning.feature_network.recognition import count_digits, read_digits, share_found
from vsr_lightning.judges.network import Reader
from vsr_lightning.utils.download import verify

WEIGHTS = Path(__file__).parent / "weights" / "reader.safetensors"  # its card, reader.md, lies beside it
WEIGHTS_SHA256 = "f46ac2264fde2e06748f1c749aa431da3c5bc6ecc0da9af8d5ecd6c407b4a1b3"
SURE = 0.8  # probability from which a true frame counts, see docs/metrics.md


def legibility(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the share of the digits read in the truth that are read in the prediction, too.

    (B, 1, H, W) each, in [0, 1], H and W of at least 28 -> (B,), 0, 1/2 or 1, higher is better; NaN where the reader
    is not sure of the truth, most often since one digit covers the other.
    """
    shown, sure = read(target)
    found, _ = read(prediction)
    return share_found(found, shown).where(sure >= SURE, torch.nan)


def read_right(frames: Tensor, digits: Tensor) -> Tensor:
    """Return the share of the known digits, (B, 2), that are read in the frames, (B, 1, H, W) in [0, 1]: (B,)."""
    found, _ = read(frames)
    return share_found(found, count_digits(digits))


def read(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Read frames, (B, 1, H, W) in [0, 1].

    Returns:
        (B, 10), how often each digit is read: the two most likely ones, but none that has less than half its share;
        (B,) in [0, 1], the probability that falls on these.

    Raises:
        ValueError: the frames have color.
    """
    if frames.shape[1] != 1:
        raise ValueError(f"legibility is read from gray frames, not from {frames.shape[1]} channels: leave it out")
    logits = _reader(frames.device)(frames)
    expected = 2 * logits.softmax(1)  # trained on one half for each of the two digits
    found = expected.round().minimum(count_digits(read_digits(logits)))
    return found, expected.minimum(found).sum(1) / 2


@cache
def _reader(device: torch.device) -> Reader:
    """Return the bundled reader; ValueError if its weights are damaged."""
    try:
        verify(WEIGHTS, sha256_prefix=WEIGHTS_SHA256)
    except (OSError, ValueError) as error:
        raise ValueError(f"the reader's weights are damaged: {error}; install vsr_lightning anew") from error
    with torch.inference_mode(False):  # a test may come first, and a training after it
        reader = Reader()
        reader.load_state_dict(load_file(WEIGHTS))
        return reader.eval().requires_grad_(False).to(device)
