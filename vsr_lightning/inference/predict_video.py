"""What the command ``predict`` does: read a video, make it low-res if asked, super-resolve it, write it."""

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import chain, count
from operator import sub
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig
from torch import Tensor

from vsr_lightning.degradation import to_integers
from vsr_lightning.inference import Encoding, Frame, Sound, Video, check_output, open_video, output_format, write_video
from vsr_lightning.inference.ahead import ahead
from vsr_lightning.inference.media_reader import MEDIA
from vsr_lightning.inference.media_writer import CODECS
from vsr_lightning.inference.picture_reader import pictures_in
from vsr_lightning.inference.predictor import Predictor, predictor
from vsr_lightning.inference.tensors import as_array, as_tensor
from vsr_lightning.inference.video_writer import FILES
from vsr_lightning.utils.errors import one_line
from vsr_lightning.utils.precision import FULL

READ_AHEAD, MADE_AHEAD = 4, 2  # frames that wait for the network, and for the file


class Outcome(NamedTuple):
    """What was written, and what is wrong with it: lines to print."""

    lines: list[str]
    wrong: list[str]


def predict_video(cfg: DictConfig, overrides: tuple[str, ...] = ()) -> Outcome:
    """Super-resolve ``cfg.input`` to ``cfg.output``, of ``conf/predict.yaml`` as composed.

    A folder of video files becomes one of larger ones, in which those that can't be read are missing.

    Args:
        cfg: the whole config.
        overrides: those of the command line: what a run decides is refused.

    Raises:
        OSError: a file is missing, or would be overwritten.
        ValueError: a value is out of range, or the video does not fit the network.
    """
    for key in ("input", "output"):
        if cfg[key] is None:
            raise ValueError(f"{key}= is missing: give a video file, a .npy file, or a folder of pictures")
    cfg.fps = None if cfg.fps is None else str(frame_rate(cfg.fps))
    source, output = Path(cfg.input), Path(cfg.output)
    check_output(output)
    model = predictor(cfg, overrides)
    if not (films := films_in(source)):
        return _one(cfg, model, source, output)
    lines, wrong = [], []
    for film in films:
        kind = film.suffix if film.suffix.lower() in FILES else ".mp4"
        try:
            done = _one(cfg, model, film, output / f"{film.stem}{kind}")
            lines += done.lines
            wrong += [f"{film.name}: {line}" for line in done.wrong]
        except Exception as error:  # of one, the others go on
            wrong.append(one_line(error, "predict", "output", "tile or clip_frames"))
    return Outcome(lines, wrong)


def films_in(folder: Path) -> list[Path]:
    """Return the video files of a folder; none of a file. ValueError where pictures lie beside them."""
    if not folder.is_dir():
        return []
    films = sorted(it for it in folder.iterdir() if it.suffix.lower() in MEDIA and not it.name.startswith("."))
    if films and (pictures := pictures_in(folder)):
        which = f"{films[0].name} beside {pictures[0].name}"
        raise ValueError(f"input={folder} has films and pictures, {which}: put either into a folder of its own")
    return films


def _one(cfg: DictConfig, model: Predictor, source: Path, output: Path) -> Outcome:
    """Super-resolve one video."""
    check_output(output)
    video = open_video(source, cfg.deinterlace)
    kept = output_format(output, video.format)
    if cfg.degrade:
        from vsr_lightning.inference.sharp_video import show_degraded  # here: its metrics take seconds to import

        return show_degraded(cfg, model, video, output)
    first, deep = model.first, kept.white > 255
    precision = model.precision_of(deep)
    begin, end = _span(video, first)
    heard = None if cfg.fps or output.suffix.lower() not in CODECS else video.format.sound
    sound = Sound(heard, begin or None, end)
    shown: list[Fraction] = []

    def given() -> Iterator[Tensor]:
        for frame in strictly(video, cfg.strict):
            if frame.time is not None:
                shown.append(frame.time - begin)
            yield as_tensor(frame.pixels, video.format.white)

    finish = partial(to_integers, white=kept.white)
    predicted = model.predict(ahead(given(), READ_AHEAD), video.shape[:2], video.length, finish, precision)
    images = map(partial(as_array, deep=deep), ahead(predicted, MADE_AHEAD))
    moments = (shown[number] for number in count(first)) if video.times else None
    shape = write_video(
        output, images, cfg.fps and Fraction(cfg.fps), first,
        kept=kept, times=moments, encoding=Encoding(cfg.codec, cfg.crf), sound=sound,
    )  # fmt: skip
    lines = [f"{source}: {note}" for note in (*video.notes, *_lost(cfg, video, output), *sound.left_out)]
    return Outcome([*lines, summary(shape, model, output, precision)], undecoded(video))


def _span(video: Video, first: int) -> tuple[Fraction, Fraction | None]:
    """Return from when to when, in seconds, a video is left without its ``first`` frames and as many last ones.

    None is its end.
    """
    times = video.times or ()
    if first and len(times) > 2 * first:
        return times[first], times[-first]
    return video.format.start, None


def undecoded(video: Video) -> list[str]:
    """Return which frames could not be decoded, a sentence each."""
    return [f"{line} can't be decoded" for line in video.bad]


def strictly(video: Video, strict: bool) -> Iterator[Frame]:
    """Go through the frames; ValueError where one can't be decoded and ``strict`` is set."""
    for frame in chain(video, [None]):
        if strict and video.bad:
            raise ValueError(f"input={video.path} is damaged, {video.bad[0]}: strict=false writes all others")
        if frame is not None:
            yield frame


def _lost(cfg: DictConfig, video: Video, output: Path) -> list[str]:
    """Return what the output will not have of the input, a sentence each."""
    kept, kind = video.format, output.suffix.lower()
    lost = []
    if kept.sound and kind not in CODECS:
        lost.append(f"its sound is left out, since {kind if kind in FILES else 'a folder of pictures'} holds none")
    elif kept.sound and cfg.fps:
        lost.append("its sound is left out, since fps= changes how fast the video is")
    if kept.aspect != 1 and kind not in CODECS:
        lost.append(f"its pixels are shown {kept.aspect} times as wide as high, which is not kept")
    gaps = [*map(sub, (video.times or ())[1:], video.times or ())]
    if kind not in (".gif", *CODECS) and gaps and max(gaps) - min(gaps) > (kept.time_base or 0):  # more than a rounding
        lost.append("its frames are shown for different times, which is not kept")
    if kept.white > 255 and kind == ".gif":
        lost.append("its depth is cut to 8 bits")
    return lost


def frame_rate(value: object) -> Fraction:
    """Return ``fps=``, such as 25, 29.97 or 30000/1001, as a fraction (or ValueError)."""
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise ValueError(f"fps={value} is out of range: give more than 0, such as 25 or 30000/1001, or null")
    return rate


def summary(shape: tuple[int, ...], model: Predictor, output: Path, precision: str) -> str:
    """Return what was written, in a line."""
    computed = "" if precision == FULL else f" in {precision}"
    return f"{shape[0]} frames of {shape[2]}x{shape[1]} by {model.name}{computed}: {output}"
