"""Where the videos come from, and the identity that travels with every score."""

import hashlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from vsr_lightning.data import generated, published

log = logging.getLogger(__name__)
SOURCES = ("auto", "published", "generated")


@dataclass(frozen=True)
class Videos:
    """The set of videos and what it is.

    Attributes:
        frames: (10000, 20, 64, 64) uint8; of a generated set, only the rows asked for are filled.
        name: short, for tables: ``published``, ``file d53a4752``, ``generated``.
        description: one sentence for ``run.json``.
        checksum: MD5 of the file, or of the generated videos in use.
    """

    frames: np.ndarray
    name: str
    description: str
    checksum: str


def load_videos(source: str, root: str | Path, used: tuple[range, ...], seed: int = 0, download: bool = True) -> Videos:
    """Open or make the videos.

    Args:
        source: ``published`` (strict), ``generated``, or ``auto``: published if it is there or can be had.
        root: folder above ``MovingMNIST/mnist_test_seq.npy``.
        used: numbers of the videos that will be read.
        seed: of the generated set.
        download: whether a missing published file may be fetched (819 MB).

    Raises:
        ValueError: an unknown source, or a file that is there but can't be used.
        OSError: ``published`` is asked for and can't be had.
    """
    if source not in SOURCES:
        raise ValueError(f"data.source={source} is unknown: choose one of {', '.join(SOURCES)}")
    if source == "generated":
        return _generated(used, seed)
    path = published.path_under(root)
    try:
        if download:
            published.fetch(path)
        return _published(path)
    except OSError as error:
        if source == "published":
            advice = f"put the published file at {path}, allow data.download=true, or choose data.source=generated"
            raise OSError(f"{error}: {advice}") from error
        log.warning(
            "DATA: the published Moving MNIST can't be had (%s); using videos GENERATED from scikit-learn's digits "
            "instead. data.source=published makes this an error.",
            error,
        )
        return _generated(used, seed)


def _published(path: Path) -> Videos:
    frames, md5 = published.open_published(path), published.checksum(path)
    if md5 == published.MD5:
        return Videos(frames, "published", f"the published Moving MNIST, {path}", md5)
    log.warning("DATA: %s has MD5 %s: it is not the published Moving MNIST (%s)", path, md5, published.MD5)
    description = f"{path}, in the published layout but not the published file (MD5 {published.MD5})"
    return Videos(frames, f"file {md5[:8]}", description, md5)


@lru_cache(maxsize=1)  # the jobs of a sweep share one process, and the set can be 0.8 GB
def _generated(used: tuple[range, ...], seed: int) -> Videos:
    # calloc hands out untouched pages for free: rows that are not filled take no memory
    frames = np.zeros((generated.VIDEOS, generated.FRAMES, generated.SIZE, generated.SIZE), np.uint8)
    md5 = hashlib.md5(usedforsecurity=False)
    for part in used:
        frames[part.start : part.stop] = generated.generate(part, seed)
        md5.update(frames[part.start : part.stop].data)
    description = f"generated from scikit-learn's digits, seed {seed}: a stand-in for the published Moving MNIST"
    return Videos(frames, "generated", description, md5.hexdigest())
