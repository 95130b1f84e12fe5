"""Decoded frames kept on disk, so that training reads pixels instead of decoding pictures."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from vsr_lightning.data.real_video.clips import Box, Clip, Clips

log = logging.getLogger(__name__)
AT_ONCE = 16  # frames to decode


@dataclass(eq=False)
class CachedClips:
    """Clips whose frames are decoded once, into one file per clip, which all processes of a machine map.

    A clip is decoded when it is first asked for: the first process that needs it does so, others wait. A clip whose
    files have changed since then is decoded anew, under another name.

    Attributes:
        source: where the frames come from.
        folder: where they are kept, as ``.npy`` of uint8, (T, H, W, 3), or (T, H, W, 1) in gray.
    """

    source: Clips
    folder: Path
    _files: dict[int, Path] = field(default_factory=dict)  # those that are known to be there

    @property
    def clips(self) -> Mapping[int, Clip]:
        return self.source.clips

    @property
    def gray(self) -> bool:
        return self.source.gray

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def description(self) -> str:
        return self.source.description

    @property
    def checksum(self) -> str:
        return self.source.checksum

    def check_unchanged(self) -> None:
        self.source.check_unchanged()

    def state(self, number: int) -> str:
        return self.source.state(number)

    def read(self, number: int, frames: range, box: Box) -> torch.Tensor:
        left, top, right, bottom = box
        part = _mapped(self._path(number))[frames.start : frames.stop, top:bottom, left:right]
        return torch.from_numpy(part.copy()).movedim(-1, 1)

    def _path(self, number: int) -> Path:
        if number not in self._files:
            clip = self.clips[number]
            what = f"{self.state(number)} {clip.name} {clip.frames} {self.gray}"
            key = hashlib.md5(what.encode(), usedforsecurity=False).hexdigest()
            self._files[number] = self._make(number, self.folder / f"{Path(clip.name).stem}_{key[:12]}.npy")
        return self._files[number]

    def _make(self, number: int, path: Path) -> Path:
        """Return the file of a clip, made if it is not there."""
        clip = self.clips[number]
        (height, width), count = clip.size, len(clip.frames)
        shape = (count, height, width, 1 if self.gray else 3)
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                part = path.with_name(f"{path.stem}.part.npy")
                with part.open("wb") as file:  # a full disk is an error here, where a mapped file would end the process
                    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                    for first in range(0, count, AT_ONCE):
                        some = range(first, min(first + AT_ONCE, count))
                        decoded = self.source.read(number, some, (0, 0, width, height))
                        file.write(np.ascontiguousarray(decoded.movedim(1, -1)).data)
                part.replace(path)
                log.info("kept the %d frames of %s in %s", count, clip.name, path)
        return path


@lru_cache(maxsize=256)  # each holds a file open, of which a process may have about a thousand
def _mapped(path: Path) -> np.ndarray:
    frames: np.ndarray = np.load(path, mmap_mode="r")
    return frames
