"""Records, score tables and weights of older runs, read as today's code has them.

A record says by its ``format`` which names it and the files beside it have. Only what has none is renamed, since today
one of the old names may be that of a user's own metric, key or layer. A key that came later gets the value that stands
for what the code did before.
"""

import re
from collections.abc import Mapping
from typing import Any

FORMAT = 4  # of the records that are written now; 3 has no data.used_share, 2 no model.slope nor data.low_res, before
# that there was none
SCORES = {"perceptual": "vgg_distance", "flicker": "temporal_error"}
RECORD = {"judge": "metric_features"}
DATA = {"clip": "frame_range", "edge": "unscored_frames", "shrink_once": "cache_low_res", "grey": "gray"}
LOSS = {"taps": "layers", "normalise": "normalize", "frequency": "fft"}
# the defaults of the keys that networks of the other kind use
UNUSED = {"window": {"clip_frames": 20, "clip_batch_size": 4}, "clip": {"frames": 5, "batch_size": 20}}
MODULE = {"border": "crop_border", "taps": "layers", "normalise": "normalize"}
CLASSES = {"vsr_lightning.losses.Mixed": "WeightedSum", "vsr_lightning.losses.Frequency": "FFT"}
WITH_SLOPE = ("vsr_lightning.models.ResidualFusion", "vsr_lightning.models.Deformable")
TRUNKS = {"back": "backward_trunk", "forth": "forward_trunk"}


def upgrade_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return ``run.json``, or the part of it that a checkpoint holds, with today's keys."""
    if "format" not in record:
        record = _with_todays_names(record)
    model, data = ((record.get("config") or {}).get(part) or {} for part in ("model", "data"))
    if record.get("format", 0) < 4 and data.get("_target_") == "vsr_lightning.data.VideoFolder":
        data.setdefault("used_share", 1)
    if record.get("format", 0) < 3:
        if model.get("_target_") in WITH_SLOPE:
            model.setdefault("slope", 0.0 if model.get("scale") == 4 else 0.1)  # at scale 2 nothing has it
        if data.get("_target_") == "vsr_lightning.data.FrameFolders":
            data.setdefault("low_res", "made")
    return record


def _with_todays_names(record: dict[str, Any]) -> dict[str, Any]:
    record = _renamed(record, RECORD)
    for key, names in (("scores", SCORES), ("data", DATA), ("scoring", MODULE)):
        if isinstance(record.get(key), dict):
            record[key] = _renamed(record[key], names)
    if config := record.get("config"):
        parts = {"data": DATA, "loss": LOSS, "module": MODULE}
        record["config"] = {key: _deeply(value, parts[key]) if key in parts else value for key, value in config.items()}
        _declare_takes(record)
    return record


def score_names(record: Mapping[str, Any]) -> dict[str, str]:
    """Return today's names of the scores in the ``frames.csv`` beside a record, by those that it may have."""
    return {} if "format" in record else SCORES


def _declare_takes(record: dict[str, Any]) -> None:
    """Move what a network takes, ``data.targets`` once, from the data's config into the record's ``data``."""
    config, data = record["config"].get("data") or {}, record.get("data") or {}
    if "targets" not in config:
        return
    takes = {"middle": "window", "all": "clip"}[config.pop("targets")]
    data.update(takes=takes, batch_size=config.get("batch_size"))
    if takes == "clip":
        config.update(clip_frames=config["frames"], clip_batch_size=config.get("batch_size"))
    config.update(UNUSED[takes])


def upgrade_weights(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's ``state_dict`` with today's names."""
    weights: dict[str, Any] = checkpoint["state_dict"]
    provenance = checkpoint.get("provenance")
    if not provenance or "format" in provenance:  # without one, it was not saved by this project's commands
        return weights
    old = re.compile(r"(?<=^model\.)(back|forth)(?=\.)")
    return {old.sub(lambda found: TRUNKS[found[0]], name): value for name, value in weights.items()}


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in values.items()}


def _deeply(value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, dict):
        return value
    found = {key: _deeply(part, names) for key, part in _renamed(value, names).items()}
    if (target := found.get("_target_")) in CLASSES:
        found["_target_"] = f"vsr_lightning.losses.{CLASSES[target]}"
    return found
