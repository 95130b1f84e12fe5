"""What the command ``predict`` does: read a video, make it low-res if asked, super-resolve it, write it."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from vsr_lightning.degradation import to_unit_range
from vsr_lightning.images import side_by_side, strip, to_uint8
from vsr_lightning.inference import Video, check_output, open_video, write_video
from vsr_lightning.inference.super_resolve import Finish, in_unit_range, super_resolve
from vsr_lightning.metrics import frame_scores
from vsr_lightning.models import Network
from vsr_lightning.runs.trained import load_run
from vsr_lightning.utils.config import overridden
from vsr_lightning.utils.formatting import counted
from vsr_lightning.utils.precision import DTYPES, FULL, fast_precision

FPS = Fraction(10)  # where neither the user nor the input says


def predict_video(cfg: DictConfig, overrides: tuple[str, ...] = ()) -> list[str]:
    """Super-resolve ``cfg.input`` to ``cfg.output``, of ``conf/predict.yaml`` as composed; return what to print.

    ``overrides`` are those of the command line: what a run decides is refused. OSError where a file is missing or would
    be overwritten, ValueError where a value is out of range or the video does not fit the network.
    """
    for key in ("input", "output"):
        if cfg[key] is None:
            raise ValueError(f"{key}= is missing: give a .npy, .gif or .mp4 file, or a folder of PNG frames")
    fps = None if cfg.fps is None else frame_rate(cfg.fps)
    cfg.precision = _precision(cfg)
    output = Path(cfg.output)
    comparison = output.with_name(f"{output.stem}_side_by_side{'.mp4' if output.suffix.lower() == '.mp4' else '.gif'}")
    for path in (output, comparison) if cfg.degrade else (output,):
        check_output(path)
    model = _model(cfg, overrides)
    video = open_video(Path(cfg.input))
    fps = fps or video.fps or FPS
    if cfg.degrade:
        return _degraded(cfg, model, video, fps, output, comparison)
    predicted = _predicted(cfg, model, map(as_tensor, video), video.shape[:2], video.length, to_uint8)
    shape = write_video(output, map(as_array, predicted), fps, _first(cfg, model))
    return [_summary(shape, model, output, cfg.precision)]


def as_tensor(frame: np.ndarray) -> Tensor:
    """(H, W) or (H, W, 3), as a video has it -> (1, H, W) or (3, H, W)."""
    return torch.from_numpy(np.atleast_3d(np.ascontiguousarray(frame))).permute(2, 0, 1)


def as_array(image: Tensor) -> np.ndarray:
    """Undo :func:`as_tensor`."""
    return image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()


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


def _degraded(cfg: DictConfig, model: _Model, video: Video, fps: Fraction, output: Path, comparison: Path) -> list[str]:
    """Degrade a sharp video, predict it, show and score the prediction and bicubic upsampling beside the truth."""
    if not 0 <= cfg.blur_level <= 1:
        raise ValueError(f"blur_level={cfg.blur_level} is out of range: choose 0, the lowest sigma, to 1, the highest")
    if "degradation" not in model.data:
        raise ValueError("the run's data have no key degradation: give a low-res video, without degrade=true")
    degradation = instantiate(model.data.degradation)
    given = to_unit_range(torch.stack([*map(as_tensor, video)])).float()
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
    lines = [_summary(shape, model, output, cfg.precision)]
    if sharp.shape != given.shape:
        sizes = f"{whole_width}x{whole_height} to {width}x{height}"
        lines.append(f"cropped from {sizes}, which scale {degradation.scale} divides")
    for kind in ("bicubic", "prediction"):
        scores = frame_scores(columns[kind], sharp[kept])
        lines.append(f"{kind}: psnr {scores['psnr'].mean():.2f} dB, ssim {scores['ssim'].mean():.3f}")
    return [*lines, f"{', '.join(columns)} side by side: {comparison}"]


def _summary(shape: tuple[int, ...], model: _Model, output: Path, precision: str) -> str:
    computed = "" if precision == FULL else f" in {precision}"
    return f"{shape[0]} frames of {shape[2]}x{shape[1]} by {model.name}{computed}: {output}"
