"""What a run meets outside: full disks, damaged and hostile files, files that change, others that want the same."""

import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException

from tests.support import PROCESSES, TINY
from vsr_lightning import predict
from vsr_lightning.data.moving_mnist import generated
from vsr_lightning.data.moving_mnist.source import load_videos
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.module import SuperResolution
from vsr_lightning.runs.read_record import RUN_FILE
from vsr_lightning.utils.errors import one_line

ROOT = Path(__file__).parents[2]
USED = (range(3), range(8000, 8002))


class _RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("key", ["ckpt_path", "init_from", "features"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not(key, vsr, tmp_path):
    torch.save({"state_dict": _RunsCode(tmp_path / "pwned"), "epoch": 1}, tmp_path / "evil.pth")
    with pytest.raises(SystemExit, match=r"error: .*evil\.pth is not a"):
        vsr("loss=perceptual", f"{key}={tmp_path}/evil.pth")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("hint", ["", ". Did you mean 'test_videos'?"])  # Python 3.13 gives one
def test_a_key_that_a_class_does_not_take_is_named_and_a_mistake_in_code_stays_one(hint):
    error = InstantiationException("Error in call to target 'vsr_lightning.data.MovingMNIST':\nTypeError(...)")
    error.__cause__ = TypeError(f"VideoData.__init__() got an unexpected keyword argument 'tets_videos'{hint}")
    assert one_line(error) == "MovingMNIST takes no tets_videos: correct the key, or leave it out"
    assert one_line(error.__cause__) == "VideoData takes no tets_videos: correct the key, or leave it out"
    mistake = TypeError(f"forward() got an unexpected keyword argument 'mask'{hint}")
    assert one_line(mistake) == f"TypeError: {mistake}"


def test_a_full_disk_ends_in_one_line_keeps_the_last_checkpoint_and_the_run_goes_on_with_room(vsr, tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, unlimited[1]))  # of each file; a checkpoint takes twelve
    try:
        with pytest.raises(SystemExit, match=r"^error: .*make room, or choose another folder[^\n]*$"):
            vsr("hydra.run.dir=run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert json.loads((tmp_path / "run" / RUN_FILE).read_text())["status"] == "failed"
    assert not list(tmp_path.rglob("*.part"))
    vsr("resume=run")
    assert json.loads((tmp_path / "run" / RUN_FILE).read_text())["status"] == "finished"
    assert not (tmp_path / "run" / "error.txt").exists()


def test_a_data_file_that_changes_under_a_run_fails_it(vsr, tmp_path, monkeypatch):
    path = tmp_path / "videos.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (6, 8, 64, 64), np.uint8))
    monkeypatch.setattr(SuperResolution, "on_fit_end", lambda self: os.utime(path, (0, 0)), raising=False)
    with pytest.raises(SystemExit, match=r"videos\.npy was changed while it was in use"):
        vsr(
            "data=video_file",
            f"data.path={path}",
            "data.test_videos=2",
            *(o for o in TINY if "data." not in o),
            tiny=False,
        )


def _load_slowly(cache, said):
    make = generated.generate

    def slowly(*args):
        said.put("made")
        time.sleep(0.5)
        return make(*args)

    generated.generate = slowly
    said.put(load_videos("generated", "", USED, cache=cache).checksum)
    said.put(None)


@pytest.mark.slow
def test_of_two_processes_that_need_the_same_generated_set_one_makes_it(tmp_path):
    queues = [PROCESSES.Queue() for _ in range(2)]
    started = [PROCESSES.Process(target=_load_slowly, args=(tmp_path, queue)) for queue in queues]
    for process in started:
        process.start()
    said = sorted((list(iter(queue.get, None)) for queue in queues), key=len)
    checksum = load_videos("generated", "", USED).checksum
    assert said == [[checksum], ["made", "made", checksum]]  # two ranges of videos, by one process


@pytest.mark.parametrize("damage", ["cut", "changed", "no checksum"])
def test_a_damaged_generated_set_is_made_anew(damage, tmp_path, caplog):
    fresh = load_videos("generated", "", USED, seed=3)
    first = load_videos("generated", "", USED, seed=3, cache=tmp_path)
    assert first.checksum == fresh.checksum
    assert np.array_equal(first.frames[8001], fresh.frames[8001])
    (path,) = tmp_path.glob("*.npy")
    if damage == "cut":
        os.truncate(path, 1000)
    elif damage == "changed":
        with path.open("r+b") as file:
            file.seek(128)
            file.write(b"\xff" * 4096)
    else:
        path.with_suffix(".md5").unlink()
    from vsr_lightning.data.moving_mnist import source

    source._generated.cache_clear()
    again = load_videos("generated", "", USED, seed=3, cache=tmp_path)
    assert np.array_equal(again.frames[:3], fresh.frames[:3])
    assert "is damaged; making it anew" in caplog.text


def test_too_little_memory_says_what_to_lower(vsr, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: out of memory: lower data\.batch_size, or take trainer=fast \(.+\)"):
        vsr("model.widths=[2,1000000000000000]", "hydra.run.dir=run")
    assert "can't allocate" in (tmp_path / "run/error.txt").read_text()


def test_too_little_memory_for_a_video_says_what_to_lower(monkeypatch, tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((5, 32, 32), np.uint8))
    arguments = ["input=v.npy", "output=w.npy", "model=frame_fusion_fig1", "model.widths=[2,1000000000000000]"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["predict", *arguments])
    with pytest.raises(SystemExit, match=r"^error: out of memory: lower tile or clip_frames \("):
        run_cli(predict.main, "predict")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: np.empty(1 << 50, np.uint8),
        lambda: torch.empty(1 << 60),
        pytest.param(
            lambda: torch.empty(1 << 50, device="cuda"),
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
        ),
    ],
    ids=["numpy", "torch", "GPU"],
)
def test_each_allocator_is_understood(ask):
    with pytest.raises((RuntimeError, MemoryError)) as error:
        ask()
    assert re.fullmatch(r"out of memory: lower nothing \(.+\)", one_line(error.value, memory="nothing"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.sweep.subdir=../../out", r"hydra\.sweep\.subdir=\.\./\.\./out leads out"),
        ("hydra.sweep.subdir=/out", "leads out"),
        ("output_dir=../out", "1 of the jobs failed"),
        ("callbacks.last.dirpath=../out", "1 of the jobs failed"),
        ("logger.tensorboard.save_dir=../out", "1 of the jobs failed"),
    ],
)
def test_a_sweeps_overrides_do_not_lead_out_of_its_folder(override, message, vsr, tmp_path):
    with pytest.raises(SystemExit, match=message):
        vsr("-m", override, "hydra.sweep.dir=sweep")
    assert {path.name for path in tmp_path.iterdir()} <= {"sweep"}


def test_a_value_in_a_folders_name_does_not_lead_out(vsr, tmp_path):
    with pytest.raises(SystemExit, match="1 of the jobs failed"):
        vsr("-m", "seed=../../x", "hydra.sweep.dir=sweep")
    assert {path.name for path in tmp_path.iterdir()} == {"sweep"}
    assert next((tmp_path / "sweep").glob("0_*")).name.endswith("seed.._.._x")
