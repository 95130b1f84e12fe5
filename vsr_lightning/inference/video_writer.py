"""Videos that are written while they are made, of any kind: films, GIFs, folders of PNG pictures, ``.npy``."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from fractions import Fraction
from itertools import chain, count
from pathlib import Path

import numpy as np

from vsr_lightning.inference.array_file import array
from vsr_lightning.inference.media_reader import MEDIA
from vsr_lightning.inference.media_writer import CODECS, DEFAULT_FPS, Encoding, film, gif
from vsr_lightning.inference.picture_reader import PICTURES
from vsr_lightning.inference.picture_writer import pictures
from vsr_lightning.inference.sound import Sound
from vsr_lightning.inference.video import DEEP, Format

FILES = (".npy", ".gif", *CODECS)
PLAIN, USUAL, SILENCE = Format(), Encoding(), Sound(None)
MOST_FPS = 50  # of a GIF: browsers show what is shorter for a tenth of a second


def output_format(path: Path, kept: Format) -> Format:
    """Return what of a video's format a file of that name can hold, in which its frames are to be given.

    Raises:
        ValueError: the frames would mean something else there.
    """
    deep = kept.white > 255
    kind = path.suffix.lower()
    if kept.colors and kept.colors.beyond_srgb and kind not in (".npy", *CODECS):
        raise ValueError(
            f"output={path} can't say that its colors are HDR or of a wide gamut: give {', '.join(CODECS)}, or .npy"
        )
    return replace(kept, white=DEEP if deep and kind != ".gif" else 255)


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: Fraction | float | None = None,
    first: int = 0,
    *,
    kept: Format = PLAIN,
    times: Iterable[Fraction] | None = None,
    encoding: Encoding = USUAL,
    sound: Sound = SILENCE,
) -> tuple[int, ...]:
    """Write frames as they come, by the name's suffix, and return the video's shape, (T, H, W) or (T, H, W, C).

    Without a suffix of a video it is a folder of PNG pictures. ``.npy`` and PNG are exact, GIF is where the frames are
    gray: in color each frame has a palette of 256. The file or folder is whole or not there.

    Args:
        path: where.
        frames: (H, W) gray or (H, W, C) each, alpha last, of integers from 0 to ``kept.white``.
        fps: frames per second, instead of ``kept.fps``.
        first: number of the first PNG picture.
        kept: what the video has beside its frames, as :func:`output_format` returns it.
        times: when each frame is shown, in seconds from the first; None is evenly.
        encoding: how a film is compressed.
        sound: what is copied into a film.

    Raises:
        FileExistsError: there is something of that name.
        ValueError: another suffix, or frames that this kind can't hold.
    """
    check_output(path)
    kept = replace(kept, fps=Fraction(fps).limit_denominator(1001), time_base=None, last=None) if fps else kept
    rate = kept.fps or DEFAULT_FPS
    frames = map(_with_channels, frames)
    begin = next(frames)  # before anything is made: what can't be computed leaves no folder behind
    shape = begin.shape
    if len(shape) != 3 or shape[2] > 4:
        raise ValueError(f"frames of {shape} can't be written: give (H, W), gray, or (H, W, C), color, alpha last")
    moments = (number / rate for number in count()) if times is None or fps else iter(times)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".part_", dir=path.parent))
    part = place / path.name
    length = 0
    try:
        with _writer(path, part, shape, kept, first, encoding, sound) as write:
            for frame in chain([begin], frames):
                write(frame, next(moments))
                length += 1
        os.replace(part, path)
    finally:
        sound.close()
        shutil.rmtree(place, ignore_errors=True)
    return (length, *(shape[:2] if shape[2] == 1 else shape))


def check_output(path: Path) -> None:
    """Refuse a name that can't be written; see :func:`write_video`."""
    kind = path.suffix.lower()
    if str(path) == "-":
        raise ValueError("output=- is no file: write one, and give that to what comes next")
    if kind in (*MEDIA, *PICTURES, ".avif") and kind not in FILES:
        raise ValueError(f"output={path} is of no known kind: give {', '.join(FILES)} or a folder, for PNG frames")
    if path.exists():
        raise FileExistsError(f"output={path} exists: choose another name")


def _with_channels(frame: np.ndarray) -> np.ndarray:
    return frame[..., None] if frame.ndim == 2 else frame


def _writer(
    path: Path, part: Path, shape: tuple[int, ...], kept: Format, first: int, encoding: Encoding, sound: Sound
) -> AbstractContextManager[Callable[[np.ndarray, Fraction], object]]:
    kind = path.suffix.lower()
    if kind == ".npy":
        return array(part, shape, kept.white > 255)
    if kind == ".gif":
        if kept.fps and kept.fps > MOST_FPS:
            most = f"{float(kept.fps):g} frames a second: browsers know at most {MOST_FPS}"
            raise ValueError(f"output={path} can't show {most}; give fps={MOST_FPS}, or another kind")
        return gif(part, shape, kept)
    if kind not in CODECS:
        return pictures(part, first)
    if shape[2] in (2, 4):
        raise ValueError(f"output={path} can't be transparent: give .gif, or a folder for PNG frames")
    return film(part, kind, shape, kept, encoding, sound)
