"""Several processes for one job; where a signal or torchrun has to do with it, under the real command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from tests.support import TINY, train_in
from vsr_lightning.data import MovingMNIST
from vsr_lightning.degradation import Degradation
from vsr_lightning.reporting.curves import read_curves
from vsr_lightning.runs.frames import read_frames

TRAIN = ("-m", "vsr_lightning.train")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
TWO = ("trainer=ddp", "trainer.devices=2")
SMALL = (*TINY, "data.frame_range=[0,20]")  # of the means of fewer frames, other orders of sums change more than 1e-5
FAILING = """
import os

import torch
from torch import nn

class FailsInOneProcess(nn.Module):
    def forward(self, prediction, target):
        if torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            raise RuntimeError(f"the second process has had enough of {os.environ['JOB']}")
        return (prediction - target).square().mean()
"""


def start(folder, *arguments):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder, *arguments):
    process = start(folder, *arguments)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def record(run):
    return json.loads((run / "run.json").read_text())


def assert_equal_scores(two, one):
    assert record(two)["scores"] == pytest.approx(record(one)["scores"], rel=1e-5, abs=1e-6)
    assert record(two)["tested_frames"] == record(one)["tested_frames"]
    a, b = (read_frames(folder / "frames.csv") for folder in (two, one))
    assert all(np.array_equal(a[name], b[name]) for name in ("video", "frame"))
    assert all(a[name] == pytest.approx(b[name], rel=1e-3, abs=1e-4, nan_ok=True) for name in b)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A sweep in one process."""
    folder = tmp_path_factory.mktemp("one")
    train_in(folder, "-m", *SMALL, "loss=mse,perceptual", "hydra.sweep.dir=sweep")
    return folder / "sweep"


@pytest.mark.slow
def test_a_sweep_on_two_processes_is_the_sweep_on_one(tmp_path, one, capsys):
    train_in(tmp_path, "-m", *SMALL, *TWO, "loss=mse,perceptual", "hydra.sweep.dir=sweep")
    sweep = tmp_path / "sweep"
    assert capsys.readouterr().out.count("scores.md") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
    jobs = sorted(path.parent.name for path in one.glob("*/run.json"))
    assert sorted(path.parent.name for path in sweep.glob("*/run.json")) == jobs
    for name in jobs:
        assert_equal_scores(sweep / name, one / name)
    assert (sweep / jobs[0] / "train.log").read_text().count(" epoch ") == 2
    assert (sweep / "report" / "index.html").exists()


@pytest.mark.slow
def test_a_process_that_fails_ends_its_job_and_the_next_starts_clean(tmp_path, one, capsys, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "failing.py").write_text(FAILING)
    (tmp_path / "conf/loss").mkdir(parents=True)
    (tmp_path / "conf/loss/failing.yaml").write_text("_target_: failing.FailsInOneProcess\n")
    with pytest.raises(SystemExit, match="1 of the jobs failed"):
        train_in(tmp_path, "-m", *SMALL, *TWO, "loss=l1,failing,mse", "hydra.sweep.dir=sweep",
                 "+hydra.job.env_set.JOB=job ${hydra:job.num}",
                 f"hydra.searchpath=[file://{tmp_path}/conf]")  # fmt: skip
    failed, mse = (next((tmp_path / "sweep").glob(f"{number}_*")) for number in (1, 2))
    assert record(failed)["status"] == "failed"
    assert "the second process has had enough of job 1" in (failed / "error.txt").read_text()
    said = "process 1 of 2 failed: RuntimeError: the second process has had enough of job 1"
    assert said in capsys.readouterr().out
    assert_equal_scores(mse, next(one.glob("*_mse_*")))


@pytest.mark.slow
def test_torchrun_starts_the_processes_of_one_run(tmp_path, one):
    run(tmp_path, *TORCHRUN, *TRAIN, *SMALL, *TWO)
    (folder,) = (tmp_path / "runs").iterdir()
    assert_equal_scores(folder, next(one.glob("*_mse_*")))
    assert (folder / "train.log").read_text().count(" epoch ") == 2


@pytest.mark.parametrize("variables", [{"TORCHELASTIC_RUN_ID": "none"}, {"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}])
def test_torchrun_or_srun_around_a_sweep_is_refused(variables, vsr, monkeypatch, capsys):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="1 of the jobs failed"):
        vsr("-m", *TWO)
    assert "-m under torchrun or srun would run the sweep once per process" in capsys.readouterr().out


@pytest.mark.slow
def test_a_signal_stops_all_processes_of_a_run_which_can_go_on(tmp_path):
    options = (*TINY, *TWO, "trainer.max_epochs=8", "data.train_videos=30")
    process, log = start(tmp_path, *TRAIN, *options, "hydra.run.dir=run"), tmp_path / "run" / "train.log"
    while process.poll() is None and not (log.exists() and "epoch 2/8" in log.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143, errors
    assert "resume=" in errors
    assert record(tmp_path / "run")["status"] == "interrupted"
    train_in(tmp_path, *options, "resume=run")
    train_in(tmp_path, *options, "hydra.run.dir=whole")
    assert record(tmp_path / "run")["scores"] == record(tmp_path / "whole")["scores"]
    resumed, whole = (read_curves(tmp_path / name, ("train/loss", "train/psnr")) for name in ("run", "whole"))
    assert len(whole["train/psnr"][0]) == 8
    for tag in whole:
        assert resumed[tag][0] == whole[tag][0]
        assert resumed[tag][1] == pytest.approx(whole[tag][1], rel=1e-6)


@pytest.mark.slow
def test_a_killed_command_leaves_no_process_behind(tmp_path):
    process = start(tmp_path, *TRAIN, *TINY, *TWO, "trainer.max_epochs=4000", "hydra.run.dir=run")
    log = tmp_path / "run" / "train.log"
    while process.poll() is None and not (log.exists() and "epoch 1/4000" in log.read_text()):
        time.sleep(0.1)
    process.kill()
    process.communicate(timeout=60)  # returns once nobody holds its pipes any more
    size = log.stat().st_size
    time.sleep(1)
    assert log.stat().st_size == size


def test_several_machines_need_a_launcher(vsr):
    with pytest.raises(SystemExit, match=r"trainer\.num_nodes=2 needs torchrun or srun"):
        vsr("trainer.num_nodes=2")


def test_a_batch_that_can_not_be_shared_out_is_refused():
    data = MovingMNIST(Degradation(), "generated", train_videos=4, test_videos=1, batch_size=3)
    data.trainer = Mock(global_rank=0, world_size=2)
    with pytest.raises(ValueError, match="4 windows in batches of 3 leave some of 2 devices nothing to do in a batch"):
        data.train_dataloader()
