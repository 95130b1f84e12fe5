import json
import sys

import numpy as np
import pytest
import torch

from tests.support import TINY
from vsr_lightning import evaluate
from vsr_lightning.data import VideoFile
from vsr_lightning.degradation import Degradation
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.module import SuperResolution


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "own.npy", np.random.default_rng(0).integers(0, 256, (7, 9, 64, 64), np.uint8))
    return tmp_path / "own.npy"


def test_the_first_videos_train_and_the_last_test(path):
    data = VideoFile(Degradation(kernel_size=1), path, test_videos=2)
    assert (list(data.train_videos), list(data.test_videos), data.starts) == ([0, 1, 2, 3, 4], [5, 6], 5)
    frames = np.load(path)
    targets = data.test_windows(2).target.unflatten(0, (2, 5)).numpy()[:, :, 0]
    np.testing.assert_allclose(targets, frames[5:, 2:7] / 255, atol=1e-6)
    assert list(VideoFile(Degradation(), path, test_videos=2, train_videos=3).train_videos) == [0, 1, 2]


def test_a_sweep_on_your_own_file_names_it(vsr, path, tmp_path):
    small = [arg for arg in TINY if not arg.startswith("data.")]
    vsr(*small, "data=video_file", f"data.path={path}", "data.test_videos=2", "hydra.run.dir=run", tiny=False)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["data"]["name"].startswith("own.npy ")
    assert (run["data"]["train_videos"], run["data"]["test_videos"]) == (5, 2)
    assert "own.npy, 7 videos of 9 frames" in (tmp_path / "run" / "scores.md").read_text()


@pytest.mark.parametrize("cache_low_res", [False, True])
def test_videos_in_color_are_served_channel_by_channel_as_gray_ones(cache_low_res, tmp_path):
    color = np.random.default_rng(0).integers(0, 256, (4, 7, 16, 20, 3), np.uint8)
    np.save(tmp_path / "color.npy", color)
    data = VideoFile(Degradation(), tmp_path / "color.npy", test_videos=2, batch_size=2, cache_low_res=cache_low_res)
    (batch,) = data.train_dataloader()
    degraded = data.on_after_batch_transfer(batch, 0)
    assert degraded.low_res.shape == (2, 5, 3, 8, 10)
    for channel in range(3):
        np.save(tmp_path / "gray.npy", color[..., channel])
        gray = VideoFile(Degradation(), tmp_path / "gray.npy", test_videos=2, batch_size=2, cache_low_res=cache_low_res)
        (batch,) = gray.train_dataloader()
        expected = gray.on_after_batch_transfer(batch, 0)
        assert torch.equal(degraded.target[:, channel], expected.target[:, 0])
        torch.testing.assert_close(degraded.low_res[:, :, channel], expected.low_res[:, :, 0])


def test_a_network_trains_on_videos_in_color(vsr, tmp_path):
    np.save(tmp_path / "own.npy", np.random.default_rng(0).integers(0, 256, (5, 7, 24, 20, 3), np.uint8))
    vsr("data=video_file", "data.path=own.npy", "data.test_videos=2", "model=residual_fusion", "model.channels=3",
        "model.width=4", "model.blocks=1", "trainer.max_epochs=1", "trainer.accelerator=cpu", "hydra.run.dir=run",
        tiny=False)  # fmt: skip
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_a_missing_path_is_asked_for(vsr):
    with pytest.raises(SystemExit, match=r"error: data\.(path|test_videos)= is missing: give it on the command line"):
        vsr("data=video_file", "model=frame_fusion_fig1", tiny=False)


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, {}, r"data\.path=.* is missing: give a \.npy file of uint8"),
        (b"no", {}, r"can't be read .*: give a \.npy file"),
        (np.zeros((3, 4, 64), np.uint8), {}, r"is \(3, 4, 64\) of uint8: give"),
        (np.zeros((3, 4, 8, 8, 4), np.uint8), {}, r"is \(3, 4, 8, 8, 4\) of uint8: give"),
        (np.zeros((3, 4, 8, 8)), {}, r"of float64: give"),
        (np.zeros((3, 9, 8, 8), np.uint8), {"test_videos": 3}, r"data\.test_videos=3 is out of range: .* 1 to 2"),
        (np.zeros((3, 9, 8, 8), np.uint8), {"train_videos": 3}, r"data\.train_videos=3 is out of range: .* 1 to 2"),
        (np.zeros((3, 4, 8, 8), np.uint8), {}, r"data\.frames=5 needs 5 frames, a video has 4: choose"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(tmp_path, content, arguments, message):
    path = tmp_path / "videos.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        VideoFile(Degradation(), path, **{"test_videos": 1, **arguments})


@pytest.mark.parametrize(
    ("size", "args", "message"),
    [
        (10, [], "frames of 10x10 are smaller than SSIM's window, 11: give larger ones"),
        (12, [], r"\w+ can't be scored on frames of 12x12 \(.*\): give larger ones"),
        (24, ["module.crop_border=7"], "module.crop_border=7 leaves less than 11 pixels of frames of 24x24: lower it"),
    ],
)
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_frames_too_small_for_a_metric_are_refused_before_the_first_step(
    vsr, tmp_path, monkeypatch, command, size, args, message
):
    def step(*_):
        raise AssertionError("a step was taken")

    monkeypatch.chdir(tmp_path)
    for name in ("training_step", "test_step"):
        monkeypatch.setattr(SuperResolution, name, step)
    np.save("small.npy", np.zeros((5, 7, size, size), np.uint8))
    settings = ["data=video_file", "data.path=small.npy", "data.test_videos=1", "trainer.accelerator=cpu", *args]
    monkeypatch.setattr(sys, "argv", ["evaluate", *settings])
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        vsr(*settings, "model=residual_fusion", tiny=False) if command == "train" else run_cli(evaluate.main, command)
