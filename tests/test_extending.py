"""What a stranger adds as docs/extending.md says: a loss, a network, a metric and a data set, in a folder apart."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vsr_lightning.evaluate import main as evaluate
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.predict import main as predict
from vsr_lightning.train import main as train

ROOT = Path(__file__).parents[1]
FILES = dict(
    re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", (ROOT / "docs/extending.md").read_text(), re.M | re.S)
)
TINY = ("data=disks", "data.train_videos=4", "data.test_videos=2", "trainer.max_epochs=1", "trainer.accelerator=cpu")


def write_files(folder):
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Run a command of the project from a folder that holds the files of the page; return that folder."""
    folder = tmp_path_factory.mktemp("stranger")
    write_files(folder)

    def call(main, *args):
        sys.argv = ["command", *args]
        run_cli(main, {evaluate: "evaluate", predict: "predict"}.get(main, "train"))
        return folder

    with pytest.MonkeyPatch.context() as context:
        context.chdir(folder)
        context.syspath_prepend(folder)
        context.setattr(sys, "argv", sys.argv)
        yield call


@pytest.fixture(scope="module")
def sweep(command):
    overrides = ("model=sharpen", "loss=mse,edge", "metrics=worst_pixel", "hydra.sweep.dir=sweep")
    return command(train, "-m", *TINY, *overrides) / "sweep"


def test_the_page_adds_one_of_each():
    assert {*FILES} == {
        "my_losses.py", "conf/loss/edge.yaml", "tests/test_my_losses.py",
        "my_networks.py", "conf/model/sharpen.yaml", "tests/test_my_networks.py",
        "my_metrics.py", "conf/metrics/worst_pixel.yaml", "tests/test_my_metrics.py",
        "my_data.py", "conf/data/disks.yaml", "tests/test_my_data.py",
        "my_features.py", "my_network.py", "conf/loss/gradients.yaml",
    }  # fmt: skip


def test_a_sweep_trains_on_them_and_its_tables_and_report_show_them(sweep):
    runs = [json.loads((path / "run.json").read_text()) for path in sorted(sweep.glob("[01]_*"))]
    assert [(run["model"], run["loss"], run["data"]["name"]) for run in runs] == [
        ("sharpen", "mse", "disks"), ("sharpen", "edge", "disks"),
    ]  # fmt: skip
    rows = list(csv.DictReader((sweep / "scores.csv").open()))
    assert all(0 < float(row["worst pixel"]) <= 1 for row in rows)
    assert len(rows) == 3  # bicubic is scored by it, too
    assert "worst pixel" in (sweep / "scores.md").read_text()
    losses = list(csv.DictReader((sweep / "report" / "losses.csv").open()))
    assert [row["condition"] for row in losses] == ["mse", "edge", "bicubic"]
    assert all(0 < float(row["edge"]) < 1 for row in losses)
    page = (sweep / "report" / "index.html").read_text()
    assert all(word in page for word in ("worst pixel", "sharpen", "edge", "disks"))


def test_the_loss_joins_the_weighted_sum(command):
    folder = command(
        train, *TINY, "model=sharpen", "loss=mixed", "loss.terms.perceptual=0", "loss.terms.edge=0.1",
        "loss.losses.edge.reach=2", "hydra.run.dir=mixed",
    )  # fmt: skip
    run = json.loads((folder / "mixed" / "run.json").read_text())
    scores = run["scores"]
    assert scores["loss"] == pytest.approx(scores["loss_mse"] + 0.1 * scores["loss_edge"], rel=1e-5)
    assert run["config"]["loss"]["losses"]["edge"]["reach"] == 2


def test_evaluate_and_predict_take_the_network(sweep, command):
    run = next(sweep.glob("1_*"))
    folder = command(evaluate, f"run={run}", "trainer.accelerator=cpu", "metrics=fsim", "hydra.run.dir=scored")
    own, again = (json.loads(path.read_text())["scores"] for path in (run / "run.json", folder / "scored/metrics.json"))
    assert {name: again[name] for name in own} == pytest.approx(own, abs=1e-6)
    assert "fsim" in again
    np.save("video.npy", np.random.default_rng(0).integers(0, 256, (6, 20, 30), np.uint8))
    command(predict, f"run={run}", "input=video.npy", "output=sharp.npy", "device=cpu")
    assert np.load("sharp.npy").shape == (2, 40, 60)


def test_the_feature_network_is_taken_from_its_file(command):
    exec(FILES["my_features.py"], {})
    features = ("loss=perceptual", "features=my_features.safetensors", "loss.layers=[relu2_1]")
    folder = command(train, *TINY, "model=sharpen", *features, "hydra.run.dir=perceptual")
    assert json.loads((folder / "perceptual/run.json").read_text())["features"]["name"].startswith("my_features")


def test_a_feature_network_of_another_kind_is_taken_from_its_class(command):
    folder = command(train, *TINY, "model=sharpen", "loss=gradients", "hydra.run.dir=gradients")
    features = json.loads((folder / "gradients/run.json").read_text())["features"]
    assert features == {"name": "gradients", "checksum": "none", "network": ""}
    assert "Features of the perceptual loss: gradients" in (folder / "gradients/scores.md").read_text()


@pytest.mark.slow
def test_the_suite_of_a_checkout_that_holds_them_stays_green(tmp_path):
    ours = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("conf", "vsr_lightning", "benchmarks", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ours)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    write_files(tmp_path)
    tests = ["losses/test_losses.py", "models/test_models.py", "utils/test_config.py", "test_metrics.py"]
    tests += sorted(path.name for path in (tmp_path / "tests").glob("test_my_*.py"))
    chosen = "my_ or truth or of_the_folder or in_the_folder or key_of_a_config or metric"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-n0", "-k", chosen, *(f"tests/{name}" for name in tests)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert {"edge-1", "sharpen", "loss/edge", "model/sharpen", "metrics/worst_pixel", "data/disks"} <= {
        *re.findall(r"\[(\S+)\] PASSED", done.stdout)
    }
