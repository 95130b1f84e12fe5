"""A sharp video made low-res first, so that a prediction can be seen beside the truth."""

from fractions import Fraction
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from vsr_lightning.degradation import to_integers, to_unit_range
from vsr_lightning.images import side_by_side, strip
from vsr_lightning.inference import Video, check_output, write_video
from vsr_lightning.inference.media_writer import DEFAULT_FPS
from vsr_lightning.inference.predict_video import Outcome, strictly, summary, undecoded
from vsr_lightning.inference.predictor import Predictor
from vsr_lightning.inference.super_resolve import in_unit_range
from vsr_lightning.inference.tensors import as_array, as_tensor
from vsr_lightning.metrics import frame_scores


def show_degraded(cfg: DictConfig, model: Predictor, video: Video, output: Path) -> Outcome:
    """Degrade a video, predict it, write and score the prediction and bicubic upsampling beside the truth.

    Raises:
        FileExistsError: there is such a comparison.
        ValueError: the video is transparent, or the config does not say how to degrade.
    """
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
        [to_unit_range(as_tensor(frame.pixels, video.format.white)) for frame in strictly(video, cfg.strict)]
    ).float()
    whole_height, whole_width = given.shape[-2:]
    height, width = (size - size % degradation.scale for size in (whole_height, whole_width))
    sharp = given[..., :height, :width]
    low_res = degradation(sharp[None], torch.tensor([float(cfg.blur_level)]))[0]
    precision, first = model.precision_of(deep=video.format.white > 255), model.first
    frames = model.predict(low_res, tuple(low_res.shape[-2:]), len(low_res), in_unit_range, precision, degraded=True)
    prediction = torch.stack([*frames])
    kept = slice(first, first + len(prediction))
    columns = side_by_side(low_res[kept], prediction, sharp[kept])
    clip = strip(columns).repeat_interleave(2, -1).repeat_interleave(2, -2)
    shape = write_video(output, map(as_array, to_integers(prediction)), fps, first)
    write_video(comparison, map(as_array, to_integers(clip)), fps)
    lines = [*(f"{video.path}: {note}" for note in video.notes), summary(shape, model, output, precision)]
    if sharp.shape != given.shape:
        sizes = f"{whole_width}x{whole_height} to {width}x{height}"
        lines.append(f"cropped from {sizes}, which scale {degradation.scale} divides")
    for kind in ("bicubic", "prediction"):
        scores = frame_scores(columns[kind], sharp[kept])
        lines.append(f"{kind}: psnr {scores['psnr'].mean():.2f} dB, ssim {scores['ssim'].mean():.3f}")
    return Outcome([*lines, f"{', '.join(columns)} side by side: {comparison}"], undecoded(video))
