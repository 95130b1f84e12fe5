"""Sweeps on other engines come out as on Hydra's own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest

from tests.support import TINY, train_in
from vsr_lightning.launch import processes

ROOT = Path(__file__).parents[2]


def sweep(folder, *overrides, code=0):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "vsr_lightning.train", "-m", *TINY, "loss=mse,perceptual", "hydra.sweep.dir=sweep"]
    done = subprocess.run([*command, *overrides], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The sweep on Hydra's own engine."""
    folder = tmp_path_factory.mktemp("plain")
    train_in(folder, "-m", *TINY, "loss=mse,perceptual", "hydra.sweep.dir=sweep")
    return scores(folder)


def scores(folder):
    return {path.parent.name: json.loads(path.read_text())["scores"] for path in folder.glob("sweep/*/run.json")}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["cores", "submitit_local"])
def test_a_sweep_on_another_engine_is_the_same_sweep(launcher, tmp_path, plain):
    assert sweep(tmp_path, f"hydra/launcher={launcher}").count("scores.md") == 1
    assert (tmp_path / "sweep/report/index.html").exists()
    other = scores(tmp_path)
    assert sorted(plain) == sorted(other)
    for job in plain:  # other numbers of threads, other orders of sums
        assert other[job] == pytest.approx(plain[job], rel=1e-4, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["cores", "submitit_local"])
def test_a_failed_job_and_a_resume_are_the_same_there(launcher, tmp_path):
    sweep(tmp_path, f"hydra/launcher={launcher}", "optimizer.lr=-1,0.001", "loss=mse", code=1)
    failed, good = (next((tmp_path / "sweep").glob(f"{number}_*")) for number in (0, 1))
    assert "optimizer.lr" in (failed / "error.txt").read_text()
    last = good / "checkpoints" / "last.ckpt"
    before = last.stat().st_mtime_ns
    sweep(tmp_path, f"hydra/launcher={launcher}", "optimizer.lr=-1,0.001", "loss=mse", "resume=sweep", code=1)
    assert last.stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "pretrain"])
def test_other_commands_sweep_on_the_whole_machine(command, tmp_path):
    small = {
        "evaluate": ("data.source=generated", "data.train_videos=2", "data.test_videos=2"),
        "pretrain": ("width=0.02", "data.train_frames=32", "data.val_frames=8", "data.test_frames=8"),
    }[command]
    arguments = ("-m", "hydra/launcher=cores", "seed=0,1", "hydra.sweep.dir=sweep", "trainer.accelerator=cpu")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", f"vsr_lightning.{command}", *small, *arguments]
    if command == "pretrain":
        call += ["trainer.max_epochs=1", "data.batch_size=16"]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len([*(tmp_path / "sweep").glob("*/metrics.json"), *(tmp_path / "sweep").glob("*/digits.md")]) == 2


def test_the_slurm_preset_composes():
    command = [sys.executable, "-m", "vsr_lightning.train", "hydra/launcher=slurm", "--cfg", "hydra"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "submitit_launcher.SlurmLauncher" in done.stdout
    assert "timeout_min: 720" in done.stdout


def test_each_worker_of_joblibs_takes_a_gpu_of_its_own(monkeypatch):
    def name():  # pickled by value, since it is local, so that the workers import nothing
        import multiprocessing
        import time

        time.sleep(0.5)  # that each worker gets a job
        return multiprocessing.current_process().name

    with joblib.parallel_config(backend="loky", n_jobs=2):
        names = joblib.Parallel()(joblib.delayed(name)() for _ in range(2))
    assert len(set(names)) == 2
    monkeypatch.setattr(processes.torch.cuda, "device_count", lambda: 4)
    taken = set()
    for worker in [SimpleNamespace(name=name) for name in names]:
        with monkeypatch.context() as patch:
            patch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
            patch.setattr(processes.multiprocessing, "current_process", lambda worker=worker: worker)
            processes.take_a_gpu()
            taken.add(os.environ["CUDA_VISIBLE_DEVICES"])
    assert len(taken) == 2
    assert taken < set("3567")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    processes.take_a_gpu()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("launcher", "extra"),
    [("cores", "joblib"), ("slurm", "submitit"), ("submitit_local", "submitit"), ("ray", "ray")],
)
def test_a_launcher_that_is_not_installed_names_its_extra(launcher, extra, tmp_path):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins/__init__.py").touch()  # hides the plugins that are installed
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "vsr_lightning.train", "-m", f"hydra/launcher={launcher}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(rf'error: .*pip install "vsr_lightning\[{extra}\]"', done.stderr.strip())
