"""Folders of runs from before names were changed (commit 709f3c5), as it left them but for their logs."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from vsr_lightning.evaluate import main
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.reporting.report import write_report
from vsr_lightning.reporting.score_table import write_table
from vsr_lightning.runs.frames import read_frames
from vsr_lightning.runs.migrate import FORMAT, SCORES, upgrade_record, upgrade_weights
from vsr_lightning.runs.read_record import read_runs
from vsr_lightning.runs.trained import load_run

OLD = Path(__file__).parents[1] / "data_709f3c5"
RUNS = ("residual_fusion", "recurrent")
KEPT = Path(__file__).parents[2] / "docs"


def _scores(name):
    """The scores that the run printed then, under today's names."""
    then = json.loads((OLD / name / "run.json").read_text())["scores"]
    return {SCORES.get(key, key): value for key, value in then.items()}


@pytest.mark.parametrize(("name", "by"), [*((name, "run") for name in RUNS), ("recurrent", "ckpt")])
def test_an_old_run_scores_what_it_scored_then(name, by, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    what = OLD / name if by == "run" else OLD / name / "checkpoints" / "last.ckpt"
    monkeypatch.setattr(sys, "argv", ["evaluate", f"{by}={what}", "trainer.accelerator=cpu", "hydra.run.dir=scores"])
    run_cli(main, "evaluate")
    scores = json.loads(Path("scores/metrics.json").read_text())["scores"]
    assert scores == pytest.approx(_scores(name), abs=1e-4)
    now, then = read_frames(Path("scores/frames.csv")), read_frames(OLD / name / "frames.csv", SCORES)
    assert set(now) == set(then)
    assert all(now[key] == pytest.approx(column, abs=1e-4, nan_ok=True) for key, column in then.items())
    assert f"{scores['psnr']:.4f}" in Path("scores/scores.md").read_text()


def test_old_runs_stand_in_a_table_and_a_report_under_todays_names(tmp_path):
    shutil.copytree(OLD, tmp_path / "runs")
    write_table(tmp_path / "runs")
    assert "temporal error" in (tmp_path / "runs" / "scores.csv").read_text()
    write_report([tmp_path / "runs"], tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text()
    assert "temporal error" in text
    assert "Left out" not in text
    assert "not shown" not in text


def test_the_kept_runs_are_read_under_todays_names():
    records = [record for _, record in read_runs(KEPT)]
    assert records
    assert {record["data"]["takes"] for record in records} == {"window", "clip"}
    for record in records:
        assert {"vgg_distance", "temporal_error"} <= set(record["scores"])
        assert "targets" not in record["config"]["data"]


def test_a_clip_of_an_old_run_stays_a_clip():
    record = load_run(OLD / "recurrent").record
    data = record["config"]["data"]
    assert (data["clip_frames"], data["clip_batch_size"], data["frames"]) == (6, 2, 5)
    assert (record["data"]["takes"], record["data"]["batch_size"], record["data"]["frames"]) == ("clip", 2, 6)


@pytest.mark.parametrize(("name", "way"), [("recurrent", "init_from"), *((name, "ckpt_path") for name in RUNS)])
def test_a_training_starts_from_an_old_runs_checkpoint(name, way, vsr, tmp_path):
    then = json.loads((OLD / name / "run.json").read_text())["overrides"]
    today = {
        "data.frames=6": "data.clip_frames=6",
        "data.batch_size=2": "data.clip_batch_size=2",
        "module.border=2": "module.crop_border=2",
        "loss.losses.perceptual.taps=[relu1_1]": "loss.losses.perceptual.layers=[relu1_1]",
        "loss.taps=[relu1_2]": "loss.layers=[relu1_2]",
        "loss.normalise=false": "loss.normalize=false",
    }
    vsr(*(today.get(override, override) for override in then), "trainer.max_epochs=3", "hydra.run.dir=run",
        f"{way}={OLD / name / 'checkpoints' / 'last.ckpt'}", tiny=False)  # fmt: skip
    assert json.loads((tmp_path / "run" / "run.json").read_text())["epochs"] == 3


@pytest.mark.parametrize(("scale", "slope"), [(4, 0), (2, 0.1)])
@pytest.mark.parametrize("network", ["ResidualFusion", "Deformable"])
@pytest.mark.parametrize("old", [{"format": 2}, {}])
def test_a_network_of_before_has_the_relu_that_it_was_trained_with(network, scale, slope, old):
    model = {"_target_": f"vsr_lightning.models.{network}", "scale": scale}
    assert upgrade_record({**old, "config": {"model": dict(model)}})["config"]["model"] == {**model, "slope": slope}
    assert upgrade_record({"format": 3, "config": {"model": dict(model)}})["config"]["model"] == model


def test_the_low_res_frames_of_before_were_made_of_the_sharp_ones():
    data = {"_target_": "vsr_lightning.data.FrameFolders", "root": "REDS"}
    for old in ({"format": 2}, {}):
        upgraded = upgrade_record({**old, "config": {"data": dict(data)}})
        assert upgraded["config"]["data"] == {**data, "low_res": "made"}


def test_all_of_each_video_file_was_used_before_a_share_could_be_chosen():
    data = {"_target_": "vsr_lightning.data.VideoFolder", "root": "clips"}
    for old in ({"format": 3}, {"format": 2}, {}):
        assert upgrade_record({**old, "config": {"data": dict(data)}})["config"]["data"] == {**data, "used_share": 1}
    assert upgrade_record({"format": 4, "config": {"data": dict(data)}})["config"]["data"] == data


def test_todays_names_stay_even_where_they_are_old_ones_of_something_else():
    config = {"data": {"clip": 3, "edge": 1}, "loss": {"taps": [1], "frequency": 2}, "module": {"border": 4}}
    record = {"format": FORMAT, "scores": {"perceptual": 1.0}, "config": config}
    assert upgrade_record(record) == record
    checkpoint = {"provenance": {"format": FORMAT}, "state_dict": {"model.back.weight": 0}}
    assert upgrade_weights(checkpoint) == checkpoint["state_dict"]
    assert upgrade_weights({"provenance": {}, "state_dict": checkpoint["state_dict"]}) == checkpoint["state_dict"]
    old = {"provenance": {"model": "recurrent"}, "state_dict": checkpoint["state_dict"]}
    assert set(upgrade_weights(old)) == {"model.backward_trunk.weight"}
