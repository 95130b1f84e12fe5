"""A run that is cut off and resumed ends as one that was not."""

import csv
import json
import os
import random
import shutil
import signal
import sys
import time

import pytest
import torch
from filelock import FileLock
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.support import PROCESSES, TINY, train_in
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN
from vsr_lightning.runs.load_checkpoint import PREVIOUS
from vsr_lightning.runs.trained import load_run

COMMAND = (
    *TINY, "loss=perceptual", "loss.layers=[relu1_1]", "logger=[tensorboard,csv]", "data.train_videos=12",
    "trainer.max_epochs=4",
)  # fmt: skip
KILLS = 10
ADVERSARIAL = ("module=adversarial", "module.discriminator.width=2", "callbacks=ema", "scheduler=warmup_cosine")


def run(folder, *overrides):
    """Be the command, in a process of its own."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    train_in(folder.parent, *COMMAND, f"hydra.run.dir={folder}", *overrides)


def scalars(run):
    """Every scalar and picture of a run in the order of its steps, whatever the process that wrote it."""
    found = []
    for path in sorted(run.glob("tensorboard/events*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                content = value.tensor.SerializeToString(deterministic=True)
                found.append((event.step, value.tag, content))
    return sorted(entry for entry in found if not entry[1].startswith(("_hparams_", "custom_scalars")))


def table(run):
    """The rows of the CSV logger: learning rate, training and validation of each epoch, and the test."""
    with (run / "csv/metrics.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    assert len(rows) == 3 * 4 + 1
    return sorted(rows, key=lambda row: (row["step"], sorted(row)))


def assert_equal_runs(resumed, whole):
    for name in ("last", "best"):
        a, b = (torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True) for run in (resumed, whole))
        assert a["global_step"] == b["global_step"]
        assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in b["state_dict"])
    assert (resumed / "frames.csv").read_bytes() == (whole / "frames.csv").read_bytes()
    a, b = (json.loads((run / "run.json").read_text()) for run in (resumed, whole))
    assert (a["status"], a["scores"], a["epochs"]) == ("finished", b["scores"], b["epochs"])
    assert scalars(resumed) == scalars(whole)
    assert table(resumed) == table(whole)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    train_in(folder.parent, *COMMAND, "hydra.run.dir=run")
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
        (signal.SIGTERM, 9, 10, 0),
        pytest.param(signal.SIGTERM, 9, 10, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 8, 9, 0, marks=pytest.mark.slow),
        (signal.SIGINT, 11, 12, 0),
        (signal.SIGINT, 11, 12, 1),
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
    assert load_run(tmp_path / "run").epochs == saved // 4
    vsr(*COMMAND[len(TINY) :], "resume=run", loader)
    assert_equal_runs(tmp_path / "run", whole)
    assert not (tmp_path / "run/checkpoints" / PREVIOUS).exists()


def test_a_run_that_chose_its_precision_goes_on_in_it_on_another_machine(stopped, vsr, tmp_path, monkeypatch):
    for precision in ("bf16-mixed", "32-true"):
        monkeypatch.setattr("vsr_lightning.utils.precision.fast_precision", lambda accelerator, it=precision: it)
        if precision == "bf16-mixed":
            stopped(signal.SIGTERM, 5, "trainer=fast", "hydra.run.dir=run")
        else:
            vsr(*COMMAND[len(TINY) :], "trainer=fast", "resume=run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert (record["status"], record["precision"]) == ("finished", "bf16-mixed")
    monkeypatch.undo()
    with pytest.raises(SystemExit, match=r"was started with trainer\.precision=bf16-mixed, this command has 32-true"):
        vsr(*COMMAND[len(TINY) :], "trainer=fast", "trainer.precision=32-true", "resume=run")


def test_an_interrupted_sweep_goes_on_with_what_is_unfinished(stopped, vsr, tmp_path, capsys, no_report):
    sweep = ("-m", "seed=0,1", "trainer.max_epochs=2")
    assert stopped(signal.SIGTERM, 5, *sweep) == 143
    (folder,) = (tmp_path / "runs").glob("*_sweep")
    assert [path.parent.name[0] for path in folder.glob("*/run.json")] == ["0"]
    vsr(*COMMAND[len(TINY) :], *sweep, "resume=auto")
    assert list((tmp_path / "runs").iterdir()) == [folder]
    records = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/run.json")}
    assert len(records) == 3
    assert {record["status"] for record in records.values()} == {"finished"}
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/last.ckpt")}
    vsr(*COMMAND[len(TINY) :], *sweep, f"resume={folder}")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/last.ckpt")} == before
    assert "has finished before" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_with_a_line_saying_so(
    damage, stopped, vsr, tmp_path, whole, capsys
):
    stopped(signal.SIGTERM, 9, "hydra.run.dir=run")
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


def test_a_finished_run_stays_as_it_is(vsr, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    vsr(*COMMAND[len(TINY) :], "resume=run", "callbacks.progress_bar=null", "data.num_workers=1")
    del before[tmp_path / "run" / "train.log"]  # which says so
    assert all(path.read_bytes() == content for path, content in before.items())
    assert "num_workers: 1" in (tmp_path / "run/.hydra/resumed.yaml").read_text()


def test_the_time_of_a_run_is_that_of_all_its_sessions(stopped, vsr, tmp_path):
    seconds = []
    for step, how in ((3, "hydra.run.dir=run"), (9, "resume=run")):
        stopped(signal.SIGTERM, step, how)
        checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
        seconds.append(checkpoint["callbacks"]["LastCheckpoint"]["seconds"])
    vsr(*COMMAND[len(TINY) :], "resume=run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert 0 < seconds[0] < seconds[1] == record["earlier_s"] < record["wall_time_s"]


@pytest.mark.parametrize("every", [1, 2])
def test_epochs_are_counted_whenever_a_checkpoint_is_saved(every, vsr, tmp_path):
    vsr(f"trainer.check_val_every_n_epoch={every}", "hydra.run.dir=run")
    assert load_run(tmp_path / "run").epochs == 2
    best = tmp_path / "run/checkpoints/best.ckpt"
    assert load_run(ckpt=best).epochs == torch.load(best, weights_only=True)["epoch"] + 1


def test_auto_checks_a_folder_that_is_given(vsr, tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "multirun.yaml").write_text("")
    with pytest.raises(SystemExit, match="resume=given is a sweep: repeat its command, with -m"):
        vsr("resume=auto", "hydra.run.dir=given")
    (tmp_path / "given" / "multirun.yaml").rename(tmp_path / "given" / "slurm-1.out")  # which is no run
    vsr("resume=auto", "hydra.run.dir=given", "trainer.max_epochs=1")
    assert json.loads((tmp_path / "given/run.json").read_text())["status"] == "finished"


def test_another_command_is_refused(stopped, vsr, tmp_path):
    stopped(signal.SIGTERM, 0, "hydra.run.dir=run")
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
@pytest.mark.parametrize(("every", "how"), [("null", ()), ("1", ()), ("1", ADVERSARIAL)])
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(tmp_path, whole, every, how):
    """Every second kill falls where the run is at work, the others anywhere from its start on."""
    folder, chance, kills, resumed = tmp_path / "run", random.Random(int(every == "1")), 0, 0
    if how:
        whole = tmp_path / "whole"
        train_in(tmp_path, *COMMAND, *how, f"hydra.run.dir={whole}")
    seconds = json.loads((whole / "run.json").read_text())["wall_time_s"]  # as this machine is now

    def go_on():
        resume = f"resume={folder}" if folder.exists() else "resume=null"
        process = PROCESSES.Process(target=run, args=(folder, *how, resume, f"checkpoint_every_n_steps={every}"))
        process.start()
        return process

    while kills < KILLS:
        before, process = _log(folder), go_on()
        at_work = kills % 2 == 0
        while at_work and process.is_alive() and _log(folder) == before:
            time.sleep(0.01)
        process.join(chance.uniform(0, seconds))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        resumed += "going on from" in _log(folder).removeprefix(before)
        if '"finished"' in _read(folder / "run.json"):
            assert_equal_runs(folder, whole)
            shutil.rmtree(folder)
    last = go_on()
    last.join()
    assert last.exitcode == 0
    assert_equal_runs(folder, whole)
    assert resumed


def _log(folder):
    return _read(folder / "train.log")


def _read(path):
    return path.read_text() if path.exists() else ""
