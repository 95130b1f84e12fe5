"""Where the videos come from, and the identity that travels with every score."""

import contextlib
import hashlib
import logging
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from vsr_lightning.data.moving_mnist import generated, published
from vsr_lightning.data.videos import Videos, checksum
from vsr_lightning.utils.download import download as fetch
from vsr_lightning.utils.files import write_text

log = logging.getLogger(__name__)
GENERATED = (generated.VIDEOS, generated.FRAMES, generated.SIZE, generated.SIZE)
SOURCES = ("auto", "published", "generated")
Ranges = tuple[range, ...]


def load_videos(
    source: str, root: str | Path, used: Ranges, seed: int = 0, download: bool = True, cache: str | Path | None = None
) -> Videos:
    """Open or make the videos.

    Args:
        source: ``published`` (strict), ``generated``, or ``auto``: published if it is there or can be had.
        root: folder above ``MovingMNIST/mnist_test_seq.npy``.
        used: indices of the videos that will be read.
        seed: of the generated set.
        download: whether a missing published file may be fetched (819 MB).
        cache: folder in which a generated set is kept, for other processes to map; None makes it in each process.

    Raises:
        ValueError: an unknown source, or a file that is there but can't be used.
        OSError: ``published`` is asked for and can't be had.
    """
    if source not in SOURCES:
        raise ValueError(f"data.source={source} is unknown: choose one of {', '.join(SOURCES)}")
    if source == "generated":
        return _generated(used, seed, cache)
    path = published.path_under(root)
    try:
        if download:
            fetch(published.URL, path, md5=published.MD5)
        return _published(path)
    except OSError as error:
        if source == "published":
            advice = f"put the published file at {path}, allow data.download=true, or choose data.source=generated"
            raise OSError(f"{error}: {advice}") from error
        what = "DATA: the published Moving MNIST can't be had (%s); using videos GENERATED from scikit-learn's digits"
        log.warning(f"{what} instead. data.source=published makes this an error.", error)
        return _generated(used, seed, cache)


def _published(path: Path) -> Videos:
    frames, md5 = published.open_published(path), checksum(path)
    if md5 == published.MD5:
        return Videos.of_file(frames, "published", f"the published Moving MNIST, {path}", md5, path)
    log.warning("DATA: %s has MD5 %s: it is not the published Moving MNIST (%s)", path, md5, published.MD5)
    description = f"{path}, in the published layout but not the published file (MD5 {published.MD5})"
    return Videos.of_file(frames, f"file {md5[:8]}", description, md5, path)


@lru_cache(maxsize=1)  # the jobs of a sweep share one process, and the set can be 0.8 GB
def _generated(used: Ranges, seed: int, cache: str | Path | None) -> Videos:
    if cache is not None:
        frames = _cached(Path(cache), used, seed)
    else:  # calloc hands out untouched pages for free: rows that are not filled take no memory
        frames = np.zeros(GENERATED, np.uint8)
        _fill(frames, used, seed)
    description = f"generated from scikit-learn's digits, seed {seed}: a stand-in for the published Moving MNIST"
    return Videos(frames, "generated", description, _md5(frames, used))


def _cached(folder: Path, used: Ranges, seed: int) -> np.ndarray:
    """Map the set's file; the first process that needs it makes it, others wait. A damaged one is made anew."""
    name = "_".join(["generated", str(seed), *(f"{part.start}-{part.stop}" for part in used)])
    path, known = folder / f"{name}.npy", folder / f"{name}.md5"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.exists():
            with contextlib.suppress(ValueError, EOFError, OSError):
                frames: np.ndarray = np.load(path, mmap_mode="r")
                if _md5(frames, used) == known.read_text(encoding="utf-8"):
                    return frames
            log.warning("DATA: %s is damaged; making it anew", path)
        part = path.with_name(f"{name}.part.npy")
        fresh = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=GENERATED)  # holes take no room
        _fill(fresh, used, seed)
        fresh.flush()
        write_text(known, _md5(fresh, used))
        part.replace(path)
    return np.load(path, mmap_mode="r")


def _fill(frames: np.ndarray, used: Ranges, seed: int) -> None:
    for part in used:
        frames[part.start : part.stop] = generated.generate(part, seed)


def _md5(frames: np.ndarray, used: Ranges) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    for part in used:
        md5.update(np.ascontiguousarray(frames[part.start : part.stop]).data)
    return md5.hexdigest()
