"""What a report needs the networks themselves for: their predictions, and the value of each under every loss."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.progress import track
from torch import Tensor, nn

from vsr_lightning.degradation import Batch, to_integers
from vsr_lightning.images import references
from vsr_lightning.metrics import frames_at_once, in_parts
from vsr_lightning.reporting.results import Group, Result
from vsr_lightning.runs.record import features_of
from vsr_lightning.runs.trained import load_run
from vsr_lightning.utils.errors import one_line

VIDEOS = 50  # test videos on which the losses are computed: all frames of each
SHOWN = 4  # of them in the comparison figure
CLIPS, CLIP_FRAMES = 30, 10  # of them shown to people in pairs, and how many frames of each at most


@dataclass(frozen=True)
class GroupPredictions:
    """What the networks of a group predict."""

    # kind or condition -> (SHOWN, C, H, W), the middle frame of each of the first test videos
    pictures: dict[str, Tensor] = field(default_factory=dict)
    # truth or condition -> (CLIPS, T, C, H, W) uint8, consecutive frames in the middle of each of the first test videos
    clips: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, dict[str, float]] = field(default_factory=dict)  # condition -> loss -> mean over frames and seeds
    videos: int = 0  # how many test videos the losses are the mean of
    frames: tuple[int, int, int] = (0, 0, 0)  # how many frames, and their height and width
    missing: list[str] = field(default_factory=list)  # sentences that say what could not be computed, and why


def predict_group(group: Group, videos: int = VIDEOS) -> GroupPredictions:
    """Let the networks of a group's finished runs predict the first ``videos`` test videos."""
    finished = [result for result in group.results if result.finished]
    if not finished:
        return GroupPredictions()
    batches: dict[tuple[str, int], Batch] = {}  # the same frames, in windows and in clips
    batch, why = _attempt(_test_batch, finished[0], videos, batches)
    if batch is None:
        return GroupPredictions(missing=[f"There are no pictures, and no losses of each network: {why}."])
    middle = batch.middle_frames()[:SHOWN]
    pictures = references(batch.select_targets(batch.low_res)[middle], batch.frames[middle])
    moving = batch.middle_clips(CLIP_FRAMES)[:CLIPS]
    clips = {"truth": to_integers(batch.frames[moving])}
    losses, missing = _losses(finished)
    values: dict[str, list[dict[str, float]]] = {}
    for condition in track(group.conditions, f"predictions of group {group.name}"):
        for result in filter(lambda result: result.finished, condition.results):
            prediction, why = _attempt(_predict_shared, result, videos, batches)
            if prediction is None:
                missing.append(f"{result.path.name} is left out: {why}.")
                continue
            own = {name: _mean(loss, prediction, batch.frames) for name, loss in losses.items()}
            values.setdefault(condition.label, []).append(own)
            if result.trained:
                pictures.setdefault(condition.label, prediction[middle].clamp(0, 1))
                clips.setdefault(condition.label, to_integers(prediction[moving]))
    means = {label: {name: fmean(own[name] for own in runs) for name in losses} for label, runs in values.items()}
    frames = (len(batch.frames), *batch.frames.shape[-2:])
    return GroupPredictions(pictures, clips, means if losses else {}, len(batch.middle_frames()), frames, missing)


def load_data(result: Result) -> Any:
    """Return a run's data module; OSError where the data are missing, ValueError where the run saw others."""
    record = result.record
    data = instantiate(OmegaConf.create(record["config"]["data"]), takes=record["data"]["takes"])
    if record["data"].get("held_out"):
        data.test_on_held_out()
    if data.videos.checksum != record["data"]["checksum"]:
        raise ValueError("the data are not those that the runs saw")
    return data


def load_test_batch(result: Result, videos: int) -> Batch:
    """Return the first test videos of a run's data, as its network takes them."""
    return load_data(result).test_windows(videos)


@torch.no_grad()
def predict(result: Result, batch: Batch) -> Tensor:
    """Return a run's predictions (N, C, H, W) as a loss sees them, not clamped."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = load_run(result.run).network().to(device)
    at_once = max(1, frames_at_once(batch.target) * len(batch.target) // len(batch.frames))
    parts = (Batch(*part) for part in zip(*(column.split(at_once) for column in batch), strict=True))
    return torch.cat([part.align(network(part.given_to(network).to(device)).float().cpu())[0] for part in parts])


def _test_batch(result: Result, videos: int, batches: dict[tuple[str, int], Batch]) -> Batch:
    takes = result.record["data"]["takes"], result.record["data"]["frames"]
    if takes not in batches:
        batches[takes] = load_test_batch(result, videos)
    return batches[takes]


def _predict_shared(result: Result, videos: int, batches: dict[tuple[str, int], Batch]) -> Tensor:
    return predict(result, _test_batch(result, videos, batches))


def _attempt(function: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """Return what the function returns, or None and in words why not: what a run needs may be gone by now."""
    try:
        return function(*args), ""
    # a moved file, a damaged one, weights of another shape, an older record, a class that is gone
    except (OSError, ValueError, RuntimeError, LookupError, HydraException) as error:
        return None, one_line(error)


def _losses(results: list[Result]) -> tuple[dict[str, nn.Module], list[str]]:
    """Return each loss that a network was trained on, by name, and sentences that say which are missing."""
    losses: dict[str, nn.Module] = {}
    missing = []
    records = {json.dumps(result.record["config"]["loss"]): result.record for result in results if result.trained}
    for config, record in records.items():
        then = record.get("features") or {}
        name = str(record["loss"]).partition(" + ")[0]  # what a module adds is not of the loss
        name = f"{name} ({then['name']})" if then else name
        loss, why = _attempt(instantiate, OmegaConf.create(json.loads(config)))
        if loss is None:
            missing.append(f"{name} has no column: {why}.")
        elif (now := features_of(loss) or {}).get("checksum") != then.get("checksum"):
            missing.append(f"{name} has no column: the features that it names are {now.get('name')} now.")
        else:
            losses[name if name not in losses else f"{name}, {len(losses) + 1}"] = loss
    return losses, missing


@torch.no_grad()
def _mean(loss: nn.Module, prediction: Tensor, target: Tensor) -> float:
    """Return the loss of all frames, computed some at a time."""
    parts = in_parts(lambda *pair: {"loss": loss(*pair).expand(len(pair[0]))}, prediction, target)
    return float(parts["loss"].double().mean())
