"""The published Moving MNIST file (Srivastava et al. 2015), opened memory-mapped."""

from pathlib import Path

import numpy as np

# torchvision fetches the same file over http; the checksum decides, whatever the transport
URL = "https://www.cs.toronto.edu/~nitish/unsupervised_video/mnist_test_seq.npy"
MD5 = "be083ec986bfe91a449d63653c411eb2"
SHAPE = (20, 10_000, 64, 64)  # frames come first in the file
EXPECTED = f"a .npy file of uint8 with shape {SHAPE}, {np.prod(SHAPE) + 128:,} bytes"


def path_under(root: str | Path) -> Path:
    """Return where torchvision's ``MovingMNIST`` keeps the file under ``root``."""
    return Path(root) / "MovingMNIST" / "mnist_test_seq.npy"


def open_published(path: Path) -> np.ndarray:
    """Open a file in the published layout without reading it.

    Returns:
        (10000, 20, 64, 64) uint8, a read-only view of the memory-mapped file.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it can't be read, is empty, cut short, no .npy file, or of another type or shape.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing (expected {EXPECTED})")
    try:
        with path.open("rb") as file:
            start = file.read(6)
        if start != b"\x93NUMPY":
            raise ValueError("it is not a .npy file" if start else "it is empty")
        try:
            videos = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, EOFError) as error:
            raise ValueError(f"it is cut short or damaged ({path.stat().st_size:,} bytes: {error})") from error
        if videos.dtype != np.uint8 or videos.shape != SHAPE:
            raise ValueError(f"its values are {videos.dtype}, its shape is {videos.shape}")
    except (OSError, ValueError) as error:
        reason = f"it can't be read ({error.strerror})" if isinstance(error, OSError) else error
        raise ValueError(f"{path} can't be used: {reason}; expected {EXPECTED}") from error
    return videos.swapaxes(0, 1)
