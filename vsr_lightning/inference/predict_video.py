"""What the command ``predict`` does: read a video, make it low-res if asked, super-resolve it, write it."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain, count
from operator import sub
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from vsr_lightning.degradation import to_unit_range
from vsr_lightning.images import side_by_side, strip, to_uint8
from vsr_lightning.inference import Encoding, Frame, Sound, Video, check_output, open_video, output_format, write_video
from vsr_lightning.inference.ahead import ahead
from vsr_lightning.inference.media_reader import MEDIA
from vsr_lightning.inference.media_writer import CODECS, DEFAULT_FPS
from vsr_lightning.inference.picture_reader import pictures_in
from vsr_lightning.inference.super_resolve import Finish, in_unit_range, super_resolve
from vsr_lightning.inference.transparency import filled
from vsr_lightning.inference.video_writer import FILES
from vsr_lightning.metrics import frame_scores
from vsr_lightning.models import Network
from vsr_lightning.runs.trained import load_run
from vsr_lightning.utils.config import overridden
from vsr_lightning.utils.errors import one_line
from vsr_lightning.utils.formatting import counted
from vsr_lightning.utils.precision import DTYPES, FULL, fast_precision

READ_AHEAD, MADE_AHEAD = 8, 4  # frames that wait for the network, and for the file


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
    cfg.precision = _precision(cfg)
    source, output = Path(cfg.input), Path(cfg.output)
    check_output(output)
    model = _model(cfg, overrides)
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


def _one(cfg: DictConfig, model: "_Model", source: Path, output: Path) -> Outcome:
    """Super-resolve one video."""
    check_output(output)
    video = open_video(source, cfg.deinterlace)
    kept = output_format(output, video.format)
    if cfg.degrade:
        return _degraded(cfg, model, video, output)
    first = _first(cfg, model)
    begin, end = _span(video, first)
    heard = None if cfg.fps or output.suffix.lower() not in CODECS else video.format.sound
    sound = Sound(heard, begin or None, end)
    shown: list[Fraction] = []

    def given() -> Iterator[Tensor]:
        for frame in _strictly(cfg, video):
            if frame.time is not None:
                shown.append(frame.time - begin)
            yield as_tensor(frame.pixels, video.format.white)

    finish = partial(to_integers, white=kept.white)
    predicted = _predicted(cfg, model, ahead(given(), READ_AHEAD), video.shape[:2], video.length, finish)
    images = map(partial(as_array, deep=kept.white > 255), ahead(predicted, MADE_AHEAD))
    moments = (shown[number] for number in count(first)) if video.times else None
    shape = write_video(
        output, images, cfg.fps and Fraction(cfg.fps), first,
        kept=kept, times=moments, encoding=Encoding(cfg.codec, cfg.crf), sound=sound,
    )  # fmt: skip
    lines = [f"{source}: {note}" for note in (*video.notes, *_lost(cfg, video, output), *sound.left_out)]
    return Outcome([*lines, _summary(shape, model, output, cfg.precision)], _wrong(video))


def _span(video: Video, first: int) -> tuple[Fraction, Fraction | None]:
    """Return from when to when, in seconds, a video is left without its ``first`` frames and as many last ones.

    None is its end.
    """
    times = video.times or ()
    if first and len(times) > 2 * first:
        return times[first], times[-first]
    return video.format.start, None


def _wrong(video: Video) -> list[str]:
    return [f"{line} can't be decoded" for line in video.bad]


def _strictly(cfg: DictConfig, video: Video) -> Iterator[Frame]:
    """Go through the frames; ValueError where one can't be decoded and ``cfg.strict`` is set."""
    for frame in chain(video, [None]):
        if cfg.strict and video.bad:
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


def as_tensor(pixels: np.ndarray, white: int = 255) -> Tensor:
    """(H, W, C) of 0 to ``white`` -> (C, H, W), of uint8 as it is, and else in [0, 1]; hidden colors are replaced."""
    image = torch.from_numpy(np.ascontiguousarray(pixels if pixels.dtype == np.uint8 else pixels / np.float32(white)))
    image = image.movedim(-1, 0)
    return filled(to_unit_range(image)) if len(image) in (2, 4) else image


def to_integers(images: Tensor, white: int) -> Tensor:
    """Return images in [0, 1] as they are saved: rounded to 0..``white``."""
    whole = (images.detach().float().clamp(0, 1) * white).round()
    return whole.to(torch.uint8 if white == 255 else torch.int32).cpu()


def as_array(image: Tensor, deep: bool = False) -> np.ndarray:
    """(C, H, W) -> (H, W, C) of uint8, or of uint16."""
    pixels = image.movedim(0, -1).numpy()
    return pixels.astype(np.uint16) if deep else pixels


def frame_rate(value: object) -> Fraction:
    """Return ``fps=``, such as 25, 29.97 or 30000/1001, as a fraction (or ValueError)."""
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise ValueError(f"fps={value} is out of range: give more than 0, such as 25 or 30000/1001, or null")
    return rate


class _Model(NamedTuple):
    network: Network
    frames: int  # of a window
    data: DictConfig  # with the degradation that the network was trained to undo
    name: str


def _model(cfg: DictConfig, overrides: tuple[str, ...]) -> _Model:
    if cfg.run is None and cfg.ckpt is None:
        network: Network = instantiate(cfg.model).eval()
        if not (published := cfg.model.get("weights")) and any(True for _ in network.parameters()):
            raise ValueError("a network needs its weights: give run=FOLDER or ckpt=FILE instead of model=")
        return _Model(network, cfg.data.frames, cfg.data, published or "bicubic")
    if theirs := [it for it in overrides if overridden(it).split(".")[0] in ("data", "model")]:
        raise ValueError(f"{theirs[0]} is what the run was trained with: leave it out, or leave out run= and ckpt=")
    trained = load_run(cfg.run, cfg.ckpt)
    name = f"{trained.record['model']} under {trained.record['loss']}, {counted(trained.epochs, 'epoch')}"
    data = trained.config.data
    used = trained.record.get("data") or data  # a run that failed early has not recorded what it used
    return _Model(trained.network(), used["frames"], data, name)


def _predicted(
    cfg: DictConfig, model: _Model, frames: Iterable[Tensor], size: tuple[int, ...], length: int | None, finish: Finish
) -> Iterator[Tensor]:
    """Check that frames of ``size``, (height, width), fit the network, and super-resolve them."""
    height, width = model.network.size or size
    if size != (height, width):
        what = "once degraded, the video has" if cfg.degrade else "the video has"
        hint = "a sharp video needs degrade=true" if not cfg.degrade and size > (height, width) else "resize it first"
        raise ValueError(f"{what} frames of {size[1]}x{size[0]}, the network takes {width}x{height}: {hint}")
    how = {key: cfg[key] for key in ("temporal_padding", "clip_frames", "clip_overlap", "tile", "tile_overlap")}
    how |= {"dtype": DTYPES[cfg.precision], "length": length, "finish": finish}
    return super_resolve(model.network.to(_device(cfg)), frames, model.frames, **how)


def _device(cfg: DictConfig) -> str:
    return "cuda" if cfg.device == "auto" and torch.cuda.is_available() else cfg.device.replace("auto", "cpu")


def _precision(cfg: DictConfig) -> str:
    """Return the precision that is asked for, or is fast here; ValueError if it is unknown."""
    precision: str = fast_precision(_device(cfg).split(":")[0]) if cfg.precision == "auto" else cfg.precision
    if precision not in DTYPES:
        raise ValueError(f"precision={precision} is unknown: choose auto, {', '.join(DTYPES)}")
    return precision


def _first(cfg: DictConfig, model: _Model) -> int:
    """Return the number of the first frame that is predicted, so that PNG frames are named as those of the input."""
    cropped = model.network.takes == "window" and cfg.temporal_padding == "crop"
    return model.frames // 2 if cropped else 0


def _degraded(cfg: DictConfig, model: _Model, video: Video, output: Path) -> Outcome:
    """Degrade a sharp video, predict it, show and score the prediction and bicubic upsampling beside the truth."""
    comparison = output.with_name(f"{output.stem}_side_by_side{'.mp4' if output.suffix.lower() == '.mp4' else '.gif'}")
    check_output(comparison)
    if video.shape[2] in (2, 4):
        raise ValueError(f"input={video.path} is transparent, which degrade=true does not take: give an opaque video")
    fps = Fraction(cfg.fps) if cfg.fps else video.format.fps or DEFAULT_FPS
    if not 0 <= cfg.blur_level <= 1:
        raise ValueError(f"blur_level={cfg.blur_level} is out of range: choose 0, the lowest sigma, to 1, the highest")
    if "degradation" not in model.data:
        raise ValueError("the run's data have no key degradation: give a low-res video, without degrade=true")
    degradation = instantiate(model.data.degradation)
    given = torch.stack(
        [to_unit_range(as_tensor(frame.pixels, video.format.white)) for frame in _strictly(cfg, video)]
    ).float()
    whole_height, whole_width = given.shape[-2:]
    height, width = (size - size % degradation.scale for size in (whole_height, whole_width))
    sharp = given[..., :height, :width]
    low_res = degradation(sharp[None], torch.tensor([float(cfg.blur_level)]))[0]
    prediction = torch.stack([*_predicted(cfg, model, low_res, tuple(low_res.shape[-2:]), len(low_res), in_unit_range)])
    first = _first(cfg, model)
    kept = slice(first, first + len(prediction))
    columns = side_by_side(low_res[kept], prediction, sharp[kept])
    clip = strip(columns).repeat_interleave(2, -1).repeat_interleave(2, -2)
    shape = write_video(output, map(as_array, to_uint8(prediction)), fps, first)
    write_video(comparison, map(as_array, to_uint8(clip)), fps)
    lines = [*(f"{video.path}: {note}" for note in video.notes), _summary(shape, model, output, cfg.precision)]
    if sharp.shape != given.shape:
        sizes = f"{whole_width}x{whole_height} to {width}x{height}"
        lines.append(f"cropped from {sizes}, which scale {degradation.scale} divides")
    for kind in ("bicubic", "prediction"):
        scores = frame_scores(columns[kind], sharp[kept])
        lines.append(f"{kind}: psnr {scores['psnr'].mean():.2f} dB, ssim {scores['ssim'].mean():.3f}")
    return Outcome([*lines, f"{', '.join(columns)} side by side: {comparison}"], _wrong(video))


def _summary(shape: tuple[int, ...], model: _Model, output: Path, precision: str) -> str:
    computed = "" if precision == FULL else f" in {precision}"
    return f"{shape[0]} frames of {shape[2]}x{shape[1]} by {model.name}{computed}: {output}"
