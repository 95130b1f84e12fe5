"""Sweeps on other engines come out as on Hydra's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY
from vsr_lightning.launch import processes
from vsr_lightning.utils.errors import one_line

ROOT = Path(__file__).parents[2]


def sweep(folder, *overrides, code=0):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "vsr_lightning.train", "-m", *TINY, "loss=mse,perceptual", "hydra.sweep.dir=sweep"]
    done = subprocess.run([*command, *overrides], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout


def scores(folder):
    return {path.parent.name: json.loads(path.read_text())["scores"] for path in folder.glob("sweep/*/run.json")}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["cores", "submitit_local"])
def test_a_sweep_on_another_engine_is_the_same_sweep(launcher, tmp_path):
    for name, overrides in (("plain", ()), ("other", (f"hydra/launcher={launcher}",))):
        (tmp_path / name).mkdir()
        out = sweep(tmp_path / name, *overrides)
        assert out.count("| run ") == 1
        assert (tmp_path / name / "sweep/report/index.html").exists()
    plain, other = (scores(tmp_path / name) for name in ("plain", "other"))
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


def test_the_slurm_preset_composes():
    command = [sys.executable, "-m", "vsr_lightning.train", "hydra/launcher=slurm", "--cfg", "hydra"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "submitit_launcher.SlurmLauncher" in done.stdout
    assert "timeout_min: 720" in done.stdout


def test_a_worker_of_joblibs_takes_one_gpu(monkeypatch):
    monkeypatch.setattr(processes.torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    processes.take_a_gpu()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.setattr(processes.multiprocessing, "current_process", lambda: type("", (), {"name": "LokyProcess-6"}))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    processes.take_a_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"


@pytest.mark.parametrize(("launcher", "extra"), [("joblib", "joblib"), ("submitit_slurm", "submitit")])
def test_a_launcher_that_is_not_installed_names_its_extra(launcher, extra):
    assert f"vsr_lightning[{extra}]" in one_line(
        ValueError(f"In 'hydra/config': Could not find 'hydra/launcher/{launcher}'")
    )
