"""A run that is cut off and resumed ends as one that was not."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.conftest import TINY
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN
from vsr_lightning.runs.checkpoint import PREVIOUS

COMMAND = (
    *TINY, "loss=perceptual", "loss.layers=[relu1_1]", "trainer.max_epochs=6", "data.train_videos=30",
)  # fmt: skip
KILLS = 20


def start(folder, *overrides):
    """Start the real command; its own processes go with it when it is killed."""
    command = [sys.executable, "-m", "vsr_lightning.train", *COMMAND, f"hydra.run.dir={folder}", *overrides]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command, cwd=folder.parent, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    _, errors = process.communicate()
    return process.returncode, errors


def scalars(run):
    """Every scalar and picture of a run in the order of its steps, whatever the process that wrote it."""
    found = []
    for path in sorted(run.glob("tensorboard/events*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                content = value.tensor.SerializeToString(deterministic=True)
                found.append((event.step, value.tag, content))
    return sorted(entry for entry in found if not entry[1].startswith(("_hparams_", "custom_scalars")))


def assert_equal_runs(resumed, whole):
    for name in ("last", "best"):
        a, b = (torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True) for run in (resumed, whole))
        assert a["global_step"] == b["global_step"]
        assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in b["state_dict"])
    assert (resumed / "frames.csv").read_bytes() == (whole / "frames.csv").read_bytes()
    a, b = (json.loads((run / "run.json").read_text()) for run in (resumed, whole))
    assert (a["status"], a["scores"], a["epochs"]) == ("finished", b["scores"], b["epochs"])
    assert scalars(resumed) == scalars(whole)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert finish(start(folder))[0] == 0
    return folder


@pytest.fixture
def stopped(vsr, tmp_path, monkeypatch):
    """Run until a signal comes in a certain step; return the exit code."""

    def call(signum, step, *overrides):
        def send(self, trainer, *_):
            if trainer.global_step == step:
                signal.raise_signal(signum)

        with monkeypatch.context() as patch:
            patch.setattr(StopOnNaN, "on_train_batch_start", send)
            with pytest.raises(SystemExit) as end:
                vsr(*COMMAND[len(TINY) :], *overrides)
        return end.value.code

    return call


@pytest.mark.parametrize(
    ("signum", "step", "saved", "workers"),
    [
        (signal.SIGTERM, 24, 25, 0),
        (signal.SIGTERM, 24, 25, 1),
        (signal.SIGINT, 20, 21, 0),
        (signal.SIGINT, 29, 30, 0),
        (signal.SIGINT, 29, 30, 1),
    ],
)
def test_a_signal_saves_after_the_step_and_the_run_goes_on_from_there(
    signum, step, saved, workers, stopped, vsr, tmp_path, whole, capsys
):
    loader = f"data.num_workers={workers}"
    assert stopped(signum, step, "hydra.run.dir=run", loader) == 128 + signum
    assert "resume=" in capsys.readouterr().err
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == saved
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "interrupted"
    vsr(*COMMAND[len(TINY) :], "resume=run", loader)
    assert_equal_runs(tmp_path / "run", whole)
    assert not (tmp_path / "run/checkpoints" / PREVIOUS).exists()


def test_csv_tables_are_whole_after_a_resume(stopped, vsr, tmp_path):
    stopped(signal.SIGTERM, 24, "logger=csv", "hydra.run.dir=run")
    vsr(*COMMAND[len(TINY) :], "logger=csv", "resume=run")
    vsr(*COMMAND[len(TINY) :], "logger=csv", "hydra.run.dir=whole")
    resumed, whole = (_table(tmp_path / name) for name in ("run", "whole"))
    assert len(whole) == 3 * 6 + 1  # learning rate, training and validation an epoch, and the test
    assert resumed == whole


def test_an_interrupted_sweep_goes_on_with_what_is_unfinished(stopped, vsr, tmp_path, capsys):
    sweep = ("-m", "seed=0,1")
    assert stopped(signal.SIGTERM, 24, *sweep) == 143
    (folder,) = (tmp_path / "runs").glob("*_sweep")
    assert [path.parent.name[0] for path in folder.glob("*/run.json")] == ["0"]
    vsr(*sweep, *COMMAND[len(TINY) :], "resume=auto")
    assert list((tmp_path / "runs").iterdir()) == [folder]
    records = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/run.json")}
    assert len(records) == 3
    assert {record["status"] for record in records.values()} == {"finished"}
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/last.ckpt")}
    vsr(*sweep, *COMMAND[len(TINY) :], f"resume={folder}")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/last.ckpt")} == before
    assert "has finished before" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_with_a_line_saying_so(
    damage, stopped, vsr, tmp_path, whole, capsys
):
    stopped(signal.SIGTERM, 24, "hydra.run.dir=run")
    last = tmp_path / "run/checkpoints/last.ckpt"
    content = bytearray(last.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 1
    last.write_bytes(content)
    vsr(*COMMAND[len(TINY) :], "resume=run")
    assert "going on from the one before it" in capsys.readouterr().out
    assert_equal_runs(tmp_path / "run", whole)


def test_another_command_is_refused(stopped, vsr, tmp_path):
    stopped(signal.SIGTERM, 24, "hydra.run.dir=run")
    with pytest.raises(SystemExit, match=r"run was started with optimizer\.lr=0\.0001, this command has 0\.01"):
        vsr(*COMMAND[len(TINY) :], "resume=run", "optimizer.lr=0.01")


@pytest.mark.parametrize("overrides", [(), ("trainer=ddp", "trainer.devices=2")])
def test_a_folder_that_another_process_works_in_is_left_alone(overrides, vsr, tmp_path):
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(SystemExit, match="another process is at work in"):
        vsr("hydra.run.dir=run", *overrides)
    assert not (tmp_path / "run" / "error.txt").exists()
    assert not (tmp_path / "run" / "run.json").exists()


def test_only_what_was_started_is_resumed(vsr, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").touch()
    for overrides, message in {
        ("resume=nowhere",): "resume=nowhere is no folder",
        ("resume=mine",): "resume=mine holds no run",
        ("resume=sweep",): "resume=sweep is a sweep: repeat its command, with -m",
        ("-m", "resume=mine"): "resume=mine holds no sweep",
    }.items():
        with pytest.raises(SystemExit, match=f"^error: {message}"):
            vsr(*overrides)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    vsr("resume=empty", "trainer.max_epochs=1")
    assert (tmp_path / "empty" / "run.json").exists()


def test_auto_starts_anew_where_there_is_nothing_to_resume(vsr, tmp_path, capsys):
    vsr("resume=auto", "trainer.max_epochs=1")
    vsr("resume=auto", "trainer.max_epochs=1", "seed=1")
    assert capsys.readouterr().err.count("no earlier start of this command was found") == 2
    assert len(list((tmp_path / "runs").iterdir())) == 2
    vsr("resume=auto", "trainer.max_epochs=1", "seed=1")
    assert len(list((tmp_path / "runs").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize("every", ["null", "1"])
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(tmp_path, whole, every):
    """Every second kill falls where the run is at work, the others anywhere from its first import on."""
    folder, chance, kills, resumed = tmp_path / "run", random.Random(int(every == "1")), 0, 0

    def go_on():
        resume = f"resume={folder}" if folder.exists() else "resume=null"
        return start(folder, resume, f"checkpoint_every_n_steps={every}")

    while kills < KILLS // 2:
        before, process = _log(folder), go_on()
        at_work = kills % 2 == 0
        while at_work and process.poll() is None and _log(folder) == before:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 3 if at_work else 6))
        process.send_signal(signal.SIGKILL)
        kills += finish(process)[0] == -signal.SIGKILL
        resumed += "going on from" in _log(folder).removeprefix(before)
        if '"finished"' in _read(folder / "run.json"):
            assert_equal_runs(folder, whole)
            folder.rename(tmp_path / f"finished_{kills}")
    code, errors = finish(go_on())
    assert code == 0, errors
    assert_equal_runs(folder, whole)
    assert resumed


def _table(run):
    (path,) = run.glob("csv/metrics.csv")
    with path.open() as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: (row["step"], sorted(row)))


def _log(folder):
    return _read(folder / "train.log")


def _read(path):
    return path.read_text() if path.exists() else ""
