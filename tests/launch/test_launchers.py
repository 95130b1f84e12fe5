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


@pytest.fixture
def sweep(monkeypatch, tmp_path):
    """Sweep on another engine, whose processes import PyTorch anew, while this one has done so; return the folder."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def call(launcher, *overrides, **how):
        # absolute, since workers of joblib's stay in the folder in which they were started
        train_in(tmp_path, "-m", f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path}/sweep", *overrides, **how)
        return tmp_path / "sweep"

    return call


SWEEP = (*TINY, "loss=mse,perceptual,l1", "features=gone.safetensors")  # of which the second job fails


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The sweep on Hydra's own engine."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.raises(SystemExit, match="1 of the jobs failed"):
        train_in(folder, "-m", *SWEEP, "hydra.sweep.dir=sweep")
    return scores(folder / "sweep")


def scores(sweep):
    records = {path.parent.name: json.loads(path.read_text()) for path in sweep.glob("*/run.json")}
    return {name: record.get("scores") for name, record in records.items()}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["cores", "submitit_local"])
def test_a_sweep_on_another_engine_is_the_same_sweep_and_goes_on(launcher, sweep, tmp_path, plain, capsys):
    with pytest.raises(SystemExit, match="1 of the jobs failed"):
        sweep(launcher, *SWEEP)
    assert capsys.readouterr().out.count("scores.md") == 1
    folder = tmp_path / "sweep"
    assert (folder / "report/index.html").exists()
    (failed,) = folder.glob("1_*")
    assert "features=gone.safetensors" in (failed / "error.txt").read_text()
    other = scores(folder)
    assert sorted(plain) == sorted(other)
    assert [job for job, found in other.items() if not found] == [failed.name]
    for job in {*plain} - {failed.name}:  # other numbers of threads, other orders of sums
        assert other[job] == pytest.approx(plain[job], rel=1e-4, abs=1e-6)

    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/last.ckpt")}
    with pytest.raises(SystemExit, match="1 of the jobs failed"):
        sweep(launcher, *SWEEP, f"resume={folder}")
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "pretrain"])
def test_other_commands_sweep_on_the_whole_machine(command, sweep):
    small = {
        "evaluate": ("data.source=generated", "data.train_videos=2", "data.test_videos=2"),
        "pretrain": ("width=0.02", "data.train_frames=32", "data.val_frames=8", "data.test_frames=8",
                     "trainer.max_epochs=1", "data.batch_size=16"),
    }[command]  # fmt: skip
    folder = sweep("cores", *small, "seed=0,1", "trainer.accelerator=cpu", command=command)
    assert len([*folder.glob("*/metrics.json"), *folder.glob("*/digits.md")]) == 2


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
