"""The published Moving MNIST file (Srivastava et al. 2015), opened memory-mapped."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from torchvision.datasets.utils import calculate_md5

from vsr_lightning.utils.download import download

# torchvision fetches the same file over http; the checksum decides, whatever the transport
URL = "https://www.cs.toronto.edu/~nitish/unsupervised_video/mnist_test_seq.npy"
MD5 = "be083ec986bfe91a449d63653c411eb2"
SHAPE = (20, 10_000, 64, 64)  # frames come first in the file
EXPECTED = f"a .npy file of uint8 with shape {SHAPE}, {np.prod(SHAPE) + 128:,} bytes"


def path_under(root: str | Path) -> Path:
    """Return where torchvision's ``MovingMNIST`` keeps the file under ``root``."""
    return Path(root) / "MovingMNIST" / "mnist_test_seq.npy"


def fetch(path: Path) -> None:
    """Download the published file to ``path`` unless a file is there.

    Raises:
        OSError: no network, a broken transfer, or bytes with another checksum; nothing is left under the final name.
    """
    download(URL, path, md5=MD5)


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
        if not start:
            raise ValueError("it is empty")
        if start != b"\x93NUMPY":
            raise ValueError("it is not a .npy file")
        try:
            videos = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, EOFError) as error:
            raise ValueError(f"it is cut short or damaged ({path.stat().st_size:,} bytes: {error})") from error
        if videos.dtype != np.uint8:
            raise ValueError(f"its values are {videos.dtype}")
        if videos.shape != SHAPE:
            raise ValueError(f"its shape is {videos.shape}")
    except (OSError, ValueError) as error:
        reason = f"it can't be read ({error.strerror})" if isinstance(error, OSError) else error
        raise ValueError(f"{path} can't be used: {reason}; expected {EXPECTED}") from error
    return videos.swapaxes(0, 1)


def checksum(path: Path) -> str:
    """Return the file's MD5, computed once per process as long as the file does not change."""
    state = path.stat()
    return _checksum(path, state.st_size, state.st_mtime_ns)


@lru_cache
def _checksum(path: Path, size: int, modified: int) -> str:
    return calculate_md5(path)
