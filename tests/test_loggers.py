"""Loggers beside TensorBoard, none of which needs a server."""

import json
import shutil
import sqlite3

import pytest

from vsr_lightning.reporting.curves import read_curves


def test_several_loggers_get_the_same_scores(vsr, tmp_path):
    vsr("logger=[tensorboard,csv]", "~callbacks.epoch_summary", "hydra.run.dir=run")
    (table,) = (tmp_path / "run").glob("csv/metrics.csv")
    header, *rows = (line.split(",") for line in table.read_text().splitlines())
    losses = [float(value) for row in rows if (value := row[header.index("train/loss")])]
    assert losses == pytest.approx(read_curves(tmp_path / "run", ("train/loss",))["train/loss"][1])
    assert len(losses) == 2

    tags = ("train/loss", "val/psnr")
    of_events = read_curves(tmp_path / "run", tags)
    shutil.rmtree(tmp_path / "run" / "tensorboard")
    of_table = read_curves(tmp_path / "run", tags)
    assert of_table.keys() == of_events.keys() == set(tags)
    for tag in tags:
        assert of_table[tag][0] == of_events[tag][0] == [1, 2]
        assert of_table[tag][1] == pytest.approx(of_events[tag][1])


def test_a_run_may_have_neither_loggers_nor_callbacks(vsr, tmp_path):
    vsr("~logger", "~callbacks", "trainer.max_epochs=1", "hydra.run.dir=run")
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_mlflow_writes_to_a_local_file(vsr, tmp_path):
    vsr("logger=mlflow", "hydra.run.dir=run")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        found = dict(database.execute("select key, value from latest_metrics").fetchall())
    assert found["test/psnr"] == pytest.approx(json.loads((tmp_path / "run/run.json").read_text())["scores"]["psnr"])
    assert found["train/loss"] > 0


@pytest.mark.slow
def test_wandb_stays_offline(vsr, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    vsr("logger=wandb", "hydra.run.dir=run")
    assert list((tmp_path / "run").glob("wandb/offline-run-*/*.wandb"))
