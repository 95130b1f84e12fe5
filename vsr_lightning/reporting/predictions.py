"""What only the networks themselves can tell: their predictions, and each one's value under every loss."""

import json
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.progress import track
from torch import Tensor, nn

from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.degradation import Batch
from vsr_lightning.images import side_by_side
from vsr_lightning.metrics import frames_at_once
from vsr_lightning.reporting.results import Group, Result
from vsr_lightning.runs.trained import load_run
from vsr_lightning.utils.errors import one_line

VIDEOS = 50  # test videos on which losses are compared: all their windows
SHOWN = 4  # of them in the strip


@dataclass
class GroupPredictions:
    """What the networks of a group predict.

    Attributes:
        strip: kind or condition -> (``SHOWN``, C, H, W): the middle frame of the first test videos.
        losses: condition -> loss -> mean over windows and seeds; lower is better.
        videos: how many test videos ``losses`` rests on.
        frames: how many of their frames, (n, H, W).
        missing: why something is not there, in words.
    """

    strip: dict[str, Tensor]
    losses: dict[str, dict[str, float]]
    videos: int
    frames: tuple[int, int, int]
    missing: list[str]


def predict_group(group: Group, videos: int = VIDEOS) -> GroupPredictions | None:
    """Load the networks of a group and let them predict so many test videos; None where nothing is finished."""
    finished = [result for result in group.results if result.finished]
    if not finished:
        return None
    try:
        data, batch = load_test_batch(finished[0], videos)
    except Exception as error:  # a class that is gone, a missing file, weights of another shape
        return GroupPredictions(
            {}, {}, 0, (0, 0, 0), [f"The pictures and the losses under each other are missing: {one_line(error)}."]
        )
    if data.videos.checksum != finished[0].record["data"]["checksum"]:
        return GroupPredictions(
            {}, {}, 0, (0, 0, 0), ["The pictures are missing: the data file is not the one that the runs saw."]
        )
    target, videos = batch.frames, min(videos, len(data.test_videos))
    found = GroupPredictions({}, {}, videos, (len(target), *target.shape[-2:]), [])
    losses = _losses(finished, found.missing)
    middle = batch.middle_frames()[:SHOWN]
    shown = side_by_side(batch.select_targets(batch.low_res)[middle], target[middle], target[middle])
    found.strip = {kind: shown[kind] for kind in ("truth", "low-res", "bicubic")}
    batches = {_cut(finished[0]): batch}  # the same frames, in windows and in clips
    for condition in track(group.conditions, f"predictions of group {group.name}"):
        values: list[dict[str, float]] = []
        for result in condition.results:
            try:
                if not result.finished:
                    continue
                if (cut := _cut(result)) not in batches:
                    batches[cut] = load_test_batch(result, videos)[1]
                prediction = predict(result, batches[cut])
            except Exception as error:  # as above
                found.missing.append(f"{result.path.name} is not shown: {one_line(error)}.")
                continue
            values.append({name: _mean(loss, prediction, target) for name, loss in losses.items()})
            if condition.results[0].trained:
                found.strip.setdefault(condition.label, prediction[middle].clamp(0, 1))
        if values and losses:
            found.losses[condition.label] = {
                name: sum(value[name] for value in values) / len(values) for name in losses
            }
    return found


def _cut(result: Result) -> tuple[str, int]:
    data = result.record["data"]
    return data["takes"], data["frames"]


def load_test_batch(result: Result, videos: int) -> tuple[VideoData, Batch]:
    """Return a run's data, and the first so many of its test videos as its network takes them."""
    data: VideoData = instantiate(
        OmegaConf.create(result.record["config"]["data"]), takes=result.record["data"]["takes"]
    )
    return data, data.test_windows(min(videos, len(data.test_videos)))


@torch.no_grad()
def predict(result: Result, batch: Batch) -> Tensor:
    """Return a run's predictions (N, C, H, W) as a loss sees them: not clamped.

    Raises:
        OSError: its checkpoint is missing.
        ValueError: its checkpoint is damaged.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = load_run(result.path).network().to(device)
    at_once = max(1, frames_at_once(batch.target) * len(batch.target) // len(batch.frames))
    parts = (Batch(*part) for part in zip(*(column.split(at_once) for column in batch), strict=True))
    return torch.cat([part.align(network(part.low_res.to(device)).float().cpu())[0] for part in parts])


def loss_name(record: dict[str, Any]) -> str:
    """Return a loss with the features it looks through."""
    features = record.get("features")
    return f"{record['loss']} ({features['name']})" if features else record["loss"]


def _losses(results: list[Result], missing: list[str]) -> dict[str, nn.Module]:
    losses: dict[str, nn.Module] = {}
    records = {json.dumps(result.record["config"]["loss"]): result.record for result in results if result.trained}
    for config, record in records.items():
        name = loss_name(record)
        try:
            loss: nn.Module = instantiate(OmegaConf.create(json.loads(config)))
        except Exception as error:  # as above
            missing.append(f"{name} is no column: {one_line(error)}.")
            continue
        features = getattr(loss, "features", None)
        if features and features.checksum != (record.get("features") or {}).get("checksum"):
            missing.append(f"{name} is no column: the features that it names are {features.name} now.")
        else:
            losses[name if name not in losses else f"{name}, {len(losses) + 1}"] = loss
    return losses


@torch.no_grad()
def _mean(loss: nn.Module, prediction: Tensor, target: Tensor) -> float:
    some = frames_at_once(target)
    parts = zip(prediction.split(some), target.split(some), strict=True)
    return sum(float(loss(*pair)) * len(pair[0]) for pair in parts) / len(target)
