"""Metrics of videos and of the set, from batches to frames.csv."""

import math
import sys

import pytest
import torch

from tests.support import TINY, train_in
from vsr_lightning.judges.tiles import Tiles
from vsr_lightning.judges.whole_test import WholeTest
from vsr_lightning.metrics import Metric
from vsr_lightning.runs.frames import read_frames


def counted(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.tensor(float(len(prediction)))


def stepped(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.tensor([math.nan] + [1.0] * (len(prediction) - 1))


def brightness(made: Tiles, real: Tiles) -> torch.Tensor:
    return torch.stack([made.images[made.unit == unit].mean() for unit in range(made.units)])


def gathered(batches: list[tuple[list[int], list[int]]], videos: int = 20) -> dict[str, dict[tuple[int, int], float]]:
    metrics = {
        "frames_seen": Metric("seen", True, counted, sees="video"),
        "brightness": Metric("bright", True, brightness, sees="set"),
    }
    test = WholeTest(metrics, videos, side=8)
    for video, frame in batches:
        of = torch.tensor(video)
        test.add(
            of.view(-1, 1, 1, 1).expand(-1, 1, 8, 8) / 10, torch.zeros(len(video), 1, 8, 8), of, torch.tensor(frame)
        )
    return test.finish(Tiles(torch.zeros(2, 1, 8, 8), torch.arange(2)))


def test_a_video_is_whole_across_batches_and_ends_where_its_frames_do():
    found = gathered([([1, 1], [2, 3]), ([1, 2], [4, 2]), ([2, 2], [3, 7])])
    assert math.isnan(found["frames_seen"].pop((2, 7))), "nothing moves in a single frame"
    assert found["frames_seen"] == {(1, 2): 3, (1, 3): 3, (1, 4): 3, (2, 2): 2, (2, 3): 2}


def test_each_frame_gets_the_score_of_its_unit():
    found = gathered([([1, 1, 3], [2, 3, 2])])["brightness"]
    assert found == pytest.approx({(1, 2): 0.1, (1, 3): 0.1, (3, 2): 0.3})
    few = gathered([([1] * 16 + [2] * 2, [*range(16), 0, 1])], videos=2)["brightness"]
    assert few[1, 0] == few[1, 15] == pytest.approx(0.1)
    assert few[2, 1] == pytest.approx(0.2)


def test_frames_that_another_device_has_as_well_do_not_count():
    assert gathered([([1, ~1, 2], [0, 0, 0])])["frames_seen"].keys() == {(1, 0), (2, 0)}


@pytest.mark.parametrize("model", ["truth", "bicubic"])
def test_evaluate_scores_the_ceiling_and_the_floor(tmp_path, model):
    metrics = "metrics=[patch_distance,told_apart,kernel_distance,tlp,tof,warping_error]"
    data = ["data.source=generated", "data.train_videos=60", "data.test_videos=6"]
    cpu = ("trainer.accelerator=cpu", "hydra.run.dir=scored")
    train_in(tmp_path, f"model={model}", metrics, *data, *cpu, command="evaluate")
    scores = read_frames(tmp_path / "scored" / "frames.csv")
    assert len(set(scores["patch_distance"])) == 24, "six videos are cut into quarters"
    if model == "truth":
        assert scores["psnr"].min() == 100
        assert scores["told_apart"].mean() == pytest.approx(50, abs=7)
    else:
        assert scores["told_apart"].mean() > 90


def test_a_metric_that_is_not_installed_is_missed_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SystemExit, match=r"vsr_lightning\[flow\]"):
        train_in(tmp_path, *TINY, "metrics=tof")


def test_a_score_for_all_frames_is_of_each_quarter_of_few_videos_and_one_per_frame_of_the_whole():
    number = torch.arange(16)
    frames = torch.zeros(16, 1, 8, 8)
    metrics = {"whole": Metric("w", True, counted, sees="video"), "each": Metric("e", True, stepped, sees="video")}
    test = WholeTest(metrics, videos=3, side=8)
    test.add(frames, frames, torch.ones_like(number), number)
    found = test.finish(None)
    assert set(found["whole"].values()) == {4}
    assert [place for place, score in found["each"].items() if math.isnan(score)] == [(1, 0)]
