"""From frames that a test shows batch by batch to the scores that need whole videos, or the whole test set."""

from collections import ChainMap
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.judges.tiles import SIDE, Place, TileCollector, Tiles, tiles_of
from vsr_lightning.metrics import Metric
from vsr_lightning.runs.frames import FEW, part_of

REAL_FRAMES = 1000


def real_tiles(data: VideoData) -> tuple[Tiles, int]:
    """Return tiles of real frames that no test shows, and their side: 64 pixels, or that of the smallest frame."""
    side = min(SIDE, *data.test_size[1:], *data.real_size[1:])
    return tiles_of(data.real_frames(REAL_FRAMES), side), side


def _of_frames(metric: Metric, made: Tensor, true: Tensor, part: np.ndarray | None) -> Tensor:
    """Return a metric's score of each frame of a video, (T,); where it has one for all, of each part by itself."""
    assert metric.function
    if len(made) == 1:  # nothing moves in a single frame
        return torch.full((1,), torch.nan)
    found: Tensor = metric.function(made, true)
    if found.ndim or part is None:
        return found.expand(len(made))
    scores = torch.full((len(made),), torch.nan)
    for number in np.unique(part):
        mine = torch.from_numpy(part == number)
        if mine.sum() > 1:
            scores[mine] = float(metric.function(made[mine], true[mine]))
    return scores


class WholeTest:
    """Computes the metrics that see a ``video``, or the test ``set``, as the frames of a test come in.

    Of few videos, parts are scored where a metric has one value for a whole video, so that there is an interval.

    Args:
        metrics: by name; those that see single frames are left alone.
        videos: how many the test has.
        side: of the tiles that metrics of the set see, in pixels.
    """

    def __init__(self, metrics: Mapping[str, Metric], videos: int, side: int) -> None:
        self.of_videos = {name: it for name, it in metrics.items() if it.sees == "video" and it.available}
        self.of_set = {name: it for name, it in metrics.items() if it.sees == "set" and it.available}
        self.collector, self.in_parts = TileCollector(side), videos < FEW
        self.shown: list[tuple[Tensor, Tensor, Place]] = []  # consecutive frames of one video
        self.places: list[Place] = []
        self.device = torch.device("cpu")  # of the test, once it has begun
        self.of_units: dict[str, Tensor] = {}  # each metric of the set, its value of each unit
        self.scores: dict[str, dict[Place, float]] = {name: {} for name in (*self.of_videos, *self.of_set)}

    @torch.no_grad()
    def add(self, prediction: Tensor, target: Tensor, video: Tensor, frame: Tensor) -> None:
        """Take (N, C, H, W) predictions and targets, a video's one after the other, and the indices of each, (N,)."""
        counts = video >= 0  # see PlanSampler
        prediction, target = prediction[counts].float().clamp(0, 1), target[counts].float()
        video, frame = video[counts], frame[counts]
        places = list(zip(video.tolist(), frame.tolist(), strict=True))
        self.device = prediction.device
        if self.of_set:
            self.collector.add(prediction, places)
        self.places += places
        for made, true, place in zip(prediction, target, places, strict=True) if self.of_videos else ():
            if self.shown and place != (self.shown[-1][2][0], self.shown[-1][2][1] + 1):
                self._score_video()
            self.shown.append((made, true, place))

    @torch.no_grad()
    def finish(self, real: Tiles | None) -> dict[str, dict[Place, float]]:
        """Return each score of each frame by its place: a video's metric may have one for all of its frames.

        On several devices, the set is what all of them have seen.
        """
        if self.shown:
            self._score_video()
        if real is not None:
            self._score_set(real)
        return self.scores

    def values(self, name: str) -> Tensor:
        """Return what a score is the mean of: its value of each unit of the set, or of each frame."""
        found = self.of_units.get(name, torch.tensor(list(self.scores[name].values())))
        return found[~found.isnan()]

    def _score_video(self) -> None:
        """Score what was shown, in full precision."""
        shown, sharp, places = zip(*self.shown, strict=True)
        self.shown = []
        made, true = torch.stack(shown), torch.stack(sharp)
        part = part_of(torch.tensor(places)[:, 1].numpy()) if self.in_parts else None
        for name, metric in self.of_videos.items():
            with torch.autocast(made.device.type, enabled=False):
                found = _of_frames(metric, made, true, part)
            self.scores[name] |= dict(zip(places, found.tolist(), strict=True))

    def _score_set(self, real: Tiles) -> None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts = [self.collector.tiles] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self.collector.tiles)
            self.collector.tiles = dict(ChainMap(*parts))
        made, number = self.collector.collected()
        made, real = made.to(self.device), real.to(self.device)
        for name, metric in self.of_set.items():
            assert metric.function
            with torch.autocast(made.images.device.type, enabled=False):
                found = metric.function(made, real)
            self.of_units[name] = found
            self.scores[name] |= {place: float(found[number[place]]) for place in self.places}
