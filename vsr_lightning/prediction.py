"""What ``predict`` does: read a video, make it low-res if asked, super-resolve it, write it."""

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from vsr_lightning.degradation import to_unit_range
from vsr_lightning.inference import super_resolve
from vsr_lightning.metrics import frame_scores
from vsr_lightning.pictures import side_by_side, strip, to_uint8
from vsr_lightning.trained import load_trained
from vsr_lightning.video import check_output, read_video, write_video


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
    output = Path(cfg.output)
    clip = output.with_name(f"{output.stem}_side_by_side{'.mp4' if output.suffix.lower() == '.mp4' else '.gif'}")
    for path in (output, clip) if cfg.degrade else (output,):
        check_output(path)
    network, data, name = _network(cfg, overrides)
    device = torch.device(
        "cuda" if cfg.device == "auto" and torch.cuda.is_available() else cfg.device.replace("auto", "cpu")
    )
    sharp = low_res = to_unit_range(torch.from_numpy(read_video(Path(cfg.input)))).float()[:, None]
    if cfg.degrade:
        low_res = _degrade(sharp, cfg.blur, data)
    _check_size(network, low_res, cfg)
    prediction = super_resolve(network.to(device), low_res.to(device), data.frames, cfg.edges)
    write_video(output, to_uint8(prediction)[:, 0].numpy(), cfg.fps)
    told = [f"{len(prediction)} frames of {prediction.shape[-1]}x{prediction.shape[-2]} by {name}: {output}"]
    if cfg.degrade:
        cut = (len(sharp) - len(prediction)) // 2
        kept = slice(cut, cut + len(prediction))
        columns = side_by_side(low_res[kept], prediction, sharp[kept])
        del columns["error"]
        write_video(clip, to_uint8(_enlarged(strip(columns)))[:, 0].numpy(), cfg.fps)
        told += [_scores(kind, columns[kind], sharp[kept]) for kind in ("bicubic", "prediction")]
        told += [f"{', '.join(columns)} side by side: {clip}"]
    return told


def _network(cfg: DictConfig, overrides: tuple[str, ...]) -> tuple[nn.Module, DictConfig, str]:
    if cfg.run is None and cfg.ckpt is None:
        network: nn.Module = instantiate(cfg.model)
        if any(parameter.requires_grad for parameter in network.parameters()):
            raise ValueError("a network needs its weights: give run=FOLDER or ckpt=FILE instead of model=")
        return network, cfg.data, "bicubic"
    if theirs := [override for override in overrides if override.startswith(("data", "model"))]:
        raise ValueError(f"{theirs[0]} is the run's own affair: leave it out, or leave out run= and ckpt=")
    trained = load_trained(cfg.run, cfg.ckpt)
    name = f"{trained.record['model']} under {trained.record['loss']}, {trained.epochs} epochs"
    return trained.network(), trained.config.data, name


def _degrade(sharp: Tensor, blur: float, data: DictConfig) -> Tensor:
    if not 0 <= blur <= 1:
        raise ValueError(f"blur={blur} is out of range: choose a place in data.degradation.sigma, 0 to 1")
    low_res: Tensor = instantiate(data.degradation)(sharp[None], torch.tensor([float(blur)])).low_res[0]
    return low_res


def _check_size(network: nn.Module, low_res: Tensor, cfg: DictConfig) -> None:
    *_, height, width = getattr(network, "input_shape", low_res.shape)
    given = tuple(low_res.shape[-2:])
    if given != (height, width):
        what = "once degraded, the video has" if cfg.degrade else "the video has"
        hint = "a sharp video needs degrade=true" if not cfg.degrade and given > (height, width) else "resize it first"
        raise ValueError(f"{what} frames of {given[1]}x{given[0]}, the network takes {width}x{height}: {hint}")


def _enlarged(clip: Tensor, times: int = 2) -> Tensor:
    return clip.repeat_interleave(times, -1).repeat_interleave(times, -2)


def _scores(kind: str, images: Tensor, sharp: Tensor) -> str:
    scores = frame_scores(images, sharp)
    return f"{kind}: psnr {scores['psnr'].mean():.2f} dB, ssim {scores['ssim'].mean():.3f}"
