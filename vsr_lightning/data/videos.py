"""Videos in one array, and the identity that travels with every score."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from torchvision.datasets.utils import calculate_md5


@dataclass(frozen=True)
class Videos:
    """The set of videos and what it is.

    Attributes:
        frames: (N, T, H, W) uint8 in gray or (N, T, H, W, 3) in RGB; videos that nothing uses may be left empty.
        name: short, for tables: ``published``, ``file d53a4752``, ``generated``.
        description: one sentence for ``run.json``.
        checksum: MD5 of the file, or of the generated videos in use.
        path: the file; None where there is none.
        state: its size and time of change when it was opened.
    """

    frames: np.ndarray
    name: str
    description: str
    checksum: str
    path: Path | None = None
    state: tuple[int, int] = (0, 0)

    @classmethod
    def of_array(cls, frames: np.ndarray, name: str, description: str) -> "Videos":
        """Return videos that no file holds; their checksum is of the frames."""
        return cls(
            frames, name, description, hashlib.md5(np.ascontiguousarray(frames).data, usedforsecurity=False).hexdigest()
        )

    @classmethod
    def of_file(cls, frames: np.ndarray, name: str, description: str, checksum: str, path: Path) -> "Videos":
        """Return videos that know their file as it is now."""
        return cls(frames, name, description, checksum, path, file_state(path))

    def check_unchanged(self) -> None:
        """Refuse a file that another has written to since it was opened (ValueError)."""
        if self.path and (not self.path.exists() or file_state(self.path) != self.state):
            raise changed(self.path)


def changed(path: Path) -> ValueError:
    """Return the error of data that somebody wrote to since it was opened: nobody knows what was read."""
    return ValueError(f"{path} was changed while it was in use: leave it alone, and start again")


def checksum(path: Path) -> str:
    """Return a file's MD5, computed once per process as long as the file does not change."""
    return _checksum(path, file_state(path))


@lru_cache
def _checksum(path: Path, state: tuple[int, int]) -> str:
    return calculate_md5(path)


def file_state(path: Path) -> tuple[int, int]:
    """Return a file's size and time of change."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
