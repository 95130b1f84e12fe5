"""Which runs trained alike, and which may be compared."""

import json
import re
from typing import Any

from vsr_lightning.runs.record import leaves

WHOLE = "all of each frame"
# the keys of a config that change what a network learns or is scored on: a new key elsewhere needs no entry here
TRAINING = re.compile(
    r"(model|loss|data|module|optimizer|scheduler)\..+|seed|init_from|width"  # width: of the feature network
    r"|trainer\.(precision|accumulate_grad_batches|overfit_batches|fast_dev_run|(max|min|limit|gradient_clip)_\w+)"
)
# where files lie and how they are read: their checksums are the identity of data and features
PLACES = re.compile(r"data\.(source|root|path|download|cache|cache_low_res|num_workers)|loss(\..+)?\.features")


def training_key(config: dict[str, Any]) -> dict[str, Any]:
    """Return what of a run's config makes it this training and no other, as dotted keys and their values.

    Folders, loggers, callbacks, devices and the places of files do not count: a run that was moved, or that goes on
    on another machine, is the same training. Two runs with equal keys still differ if their data or features do:
    compare :func:`identity` of their records, too.

    Args:
        config: as :mod:`vsr_lightning.train` or :mod:`vsr_lightning.pretrain` composed and resolved it.
    """
    return {key: value for key, value in leaves(config) if TRAINING.fullmatch(key) and not PLACES.fullmatch(key)}


def identity(record: dict[str, Any]) -> dict[str, str]:
    """Return the checksums of the data, the features and the weights at the start, of those that a record has."""
    parts = {name: record.get(name) or {} for name in ("data", "features", "init_from")}
    return {f"{name}.checksum": part["checksum"] for name, part in parts.items() if "checksum" in part}


def test_set(run: dict[str, Any]) -> str:
    """Return a key that two runs share if they were scored alike on the same frames, degraded alike."""
    data = run.get("data") or {}
    keys = ("checksum", "test_videos", "test_blur", "degradation")
    return json.dumps([*(data.get(key) for key in keys), scored_frames(data), scored_part(run)], sort_keys=True)


def scored_part(run: dict[str, Any]) -> str:
    """Return what of a frame a run's PSNR and SSIM looked at, in words; older runs looked at all of it."""
    scoring = run.get("scoring") or {}
    parts = ["luminance only (BT.601, 16 to 235)"] if scoring.get("luminance") else []
    parts += [f"without {crop_border} pixels at each side"] if (crop_border := scoring.get("crop_border")) else []
    return ", ".join(parts) or WHOLE


def scored_frames(data: dict[str, Any]) -> list[int]:
    """Return the first of a video's frames that was scored, and one past the last, from a run's record."""
    first, last = data.get("frame_range", (0, 20))  # runs from before there was a choice saw whole videos
    edge = data.get("frames", 5) // 2
    return list(data.get("scored", (first + edge, last - edge)))
