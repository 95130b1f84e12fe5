"""Tests shared by several devices: each frame counts once, whatever a device's share."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from tests.launch.test_processes import run
from tests.support import train_in
from vsr_lightning.data import VideoFile
from vsr_lightning.data.loader import PlanSampler
from vsr_lightning.degradation import Degradation
from vsr_lightning.models import Bicubic
from vsr_lightning.module import SuperResolution
from vsr_lightning.runs.frames import read_frames


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "own.npy", np.random.default_rng(0).integers(0, 256, (10, 7, 16, 16), np.uint8))

    def with_tests(videos):
        return VideoFile(Degradation(), tmp_path / "own.npy", test_videos=videos)

    return with_tests


def _share(data, rank, world_size, at_once):
    """Test one device's share, without a trainer; return its sums, and the frames that count."""
    module, frames = SuperResolution(Bicubic(), nn.MSELoss()), []
    plan = data.test_dataloader()
    sampler = PlanSampler(plan.sampler.plan, at_once * world_size, rank, world_size, repeat=True)
    for index, rows in enumerate(sampler):
        outputs = module.test_step(data.on_after_batch_transfer(plan.dataset[rows], 0), index)
        numbers = torch.stack([outputs["video"], outputs["frame"]], 1)
        frames += map(tuple, numbers[outputs["video"] >= 0].tolist())
    sums = {name: torch.stack([mean.mean_value, mean.weight]) for name, mean in module.means.items()}
    return sums, frames, len(sampler)


@pytest.mark.parametrize("videos", range(1, 10))
def test_the_share_of_a_device_changes_no_score(data, videos):
    data = data(videos)
    expected = None
    for world_size in (1, 2, 3):
        shares = [_share(data, rank, world_size, 2) for rank in range(world_size)]
        names = [list(sums) for sums, _, _ in shares]
        assert names == names[:1] * world_size  # a device without these would wait for the others for ever
        assert len({steps for _, _, steps in shares}) == 1
        assert sorted(pair for _, frames, _ in shares for pair in frames) == [
            (video, frame) for video in data.test_videos for frame in range(2, 5)
        ]
        totals = {name: sum(sums[name] for sums, _, _ in shares) for name in names[0]}
        means = {name: float(total / count) for name, (total, count) in totals.items()}
        expected = expected or means
        assert totals["test/psnr"][1] == 3 * videos
        assert totals["test/temporal_error"][1] == 2 * videos
        assert means == pytest.approx(expected, rel=1e-5)


def test_training_refuses_a_device_without_a_window(data):
    plan = data(1).train_dataloader().sampler.plan
    with pytest.raises(ValueError, match="9 windows in batches of 4 leave some of 2 devices nothing to do"):
        PlanSampler(plan, 4, 1, 2)


@pytest.mark.slow
def test_processes_score_what_one_process_does(tmp_path):
    np.save(tmp_path / "own.npy", np.random.default_rng(0).integers(0, 256, (6, 7, 16, 16), np.uint8))
    for videos, devices in ((5, 2), (1, 3)):
        given = ("data=video_file", "data.path=own.npy", f"data.test_videos={videos}", "trainer.accelerator=cpu")
        train_in(tmp_path, *given, f"hydra.run.dir={videos}_on_1", command="evaluate")
        run(tmp_path, "-m", "vsr_lightning.evaluate", *given, "trainer=ddp", f"trainer.devices={devices}",
            f"hydra.run.dir={videos}_on_{devices}")  # fmt: skip
        one, several = (tmp_path / f"{videos}_on_{number}" for number in (1, devices))
        scores = [json.loads((folder / "metrics.json").read_text())["scores"] for folder in (one, several)]
        assert scores[1] == pytest.approx(scores[0], rel=1e-5)
        frames = [read_frames(folder / "frames.csv") for folder in (one, several)]
        assert len(frames[0]["psnr"]) == 3 * videos
        assert all(frames[1][name] == pytest.approx(column, nan_ok=True) for name, column in frames[0].items())
