"""What ``predict`` does: read a video, make it low-res if asked, super-resolve it, write it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from vsr_lightning.degradation import to_unit_range
from vsr_lightning.images import to_uint8
from vsr_lightning.inference import Video, check_output, open_video, write_video
from vsr_lightning.inference.chunking import ClipChunks, Step, WindowChunks
from vsr_lightning.inference.color import for_any_color
from vsr_lightning.inference.comparison import compare
from vsr_lightning.inference.frames import as_array, as_tensor, in_unit_range
from vsr_lightning.inference.super_resolve import stream, windows_at_once
from vsr_lightning.models import Network
from vsr_lightning.runs.trained import load_run

FPS = 10.0  # where neither the user nor the input says


def run(cfg: DictConfig, overrides: tuple[str, ...] = ()) -> list[str]:
    """Super-resolve ``cfg.input`` to ``cfg.output``; return what to tell the user.

    Args:
        cfg: ``conf/predict.yaml`` as composed.
        overrides: what was given on the command line, to refuse what a run decides.

    Raises:
        OSError: a file is missing, or would be overwritten.
        ValueError: a value is out of range, or the video does not fit the network.
    """
    for key in ("input", "output"):
        if cfg[key] is None:
            raise ValueError(f"{key}= is missing: give a .npy, .gif or .mp4 file, or a folder of PNG frames")
    if cfg.fps is not None and not cfg.fps > 0:
        raise ValueError(f"fps={cfg.fps} is out of range: choose more than 0, or null for that of the input")
    output = Path(cfg.output)
    clip = output.with_name(f"{output.stem}_side_by_side{'.mp4' if output.suffix.lower() == '.mp4' else '.gif'}")
    for path in (output, clip) if cfg.degrade else (output,):
        check_output(path)
    model = _model(cfg, overrides)
    video = open_video(Path(cfg.input))
    fps = cfg.fps or video.fps or FPS
    if cfg.degrade:
        return _compared(cfg, model, video, fps, output, clip)
    predicted = _predicted(cfg, model, map(as_tensor, video), video.shape, video.length, to_uint8)
    return [_told(write_video(output, map(as_array, predicted), fps, _first(cfg, model)), model, output)]


class _Model(NamedTuple):
    network: Network
    data: DictConfig  # the frames of a window, and the degradation that it was trained to undo
    name: str


def _model(cfg: DictConfig, overrides: tuple[str, ...]) -> _Model:
    if cfg.run is None and cfg.ckpt is None:
        network: Network = instantiate(cfg.model).eval()
        if not (published := cfg.model.get("weights")) and any(True for _ in network.parameters()):
            raise ValueError("a network needs its weights: give run=FOLDER or ckpt=FILE instead of model=")
        return _Model(network, cfg.data, published or "bicubic")
    if theirs := [override for override in overrides if override.startswith(("data", "model"))]:
        raise ValueError(f"{theirs[0]} is the run's own affair: leave it out, or leave out run= and ckpt=")
    trained = load_run(cfg.run, cfg.ckpt)
    network = trained.network()
    name = f"{trained.record['model']} under {trained.record['loss']}, {trained.epochs} epochs"
    return _Model(network, trained.config.data, name)


def _predicted(
    cfg: DictConfig, model: _Model, frames: Iterable[Tensor], shape: Sequence[int], length: int | None, finish: Step
) -> Iterator[Tensor]:
    """Super-resolve frames whose shape begins with height and width; ``finish`` makes of (T, C, H, W) what is kept."""
    height, width = shape[:2]
    _check_size(model.network, (height, width), cfg)
    device = torch.device(
        "cuda" if cfg.device == "auto" and torch.cuda.is_available() else cfg.device.replace("auto", "cpu")
    )
    tile = None if model.network.size else cfg.tile
    cut: ClipChunks | WindowChunks
    if model.network.takes == "clip":
        cut = ClipChunks(cfg.clip_frames, cfg.clip_overlap)
    else:
        cut = WindowChunks(
            model.data.frames,
            cfg.temporal_padding,
            windows_at_once(min(height, tile or height), min(width, tile or width)),
        )
    predict = for_any_color(cut.step(model.network.to(device)), model.network.channels)

    def step(chunk: Tensor) -> Tensor:
        return finish(predict(to_unit_range(chunk.to(device)).float()))

    return stream(step, frames, cut, (height, width), tile, cfg.tile_overlap, length)


def _first(cfg: DictConfig, model: _Model) -> int:
    """Return the number of the first frame that is predicted, so that PNG frames are named as those of the input."""
    windows = model.network.takes == "window" and cfg.temporal_padding == "crop"
    return int(model.data.frames) // 2 if windows else 0


def _check_size(network: Network, given: tuple[int, int], cfg: DictConfig) -> None:
    height, width = network.size or given
    if given != (height, width):
        what = "once degraded, the video has" if cfg.degrade else "the video has"
        hint = "a sharp video needs degrade=true" if not cfg.degrade and given > (height, width) else "resize it first"
        raise ValueError(f"{what} frames of {given[1]}x{given[0]}, the network takes {width}x{height}: {hint}")


def _compared(cfg: DictConfig, model: _Model, video: Video, fps: float, output: Path, clip: Path) -> list[str]:
    def predict(low_res: Tensor) -> Tensor:
        predicted = _predicted(cfg, model, low_res, low_res.shape[-2:], len(low_res), in_unit_range)
        return torch.stack([*predicted])

    sharp = to_unit_range(torch.stack([*map(as_tensor, video)])).float()
    made = compare(sharp, instantiate(model.data.degradation), cfg.blur_level, predict)
    shape = write_video(output, map(as_array, to_uint8(made.prediction)), fps, _first(cfg, model))
    write_video(clip, map(as_array, to_uint8(made.clip)), fps)
    *about, last = made.about
    return [_told(shape, model, output), *about, f"{last}: {clip}"]


def _told(shape: tuple[int, ...], model: _Model, output: Path) -> str:
    return f"{shape[0]} frames of {shape[2]}x{shape[1]} by {model.name}: {output}"
