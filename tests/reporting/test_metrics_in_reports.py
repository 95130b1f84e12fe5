"""A metric is described once: tables, figures and notes take its title and direction from there."""

import csv
import json

import pytest
import torch

from vsr_lightning import metrics
from vsr_lightning.metrics import METRICS, Metric, score_frames, scored_metrics
from vsr_lightning.module import SuperResolution
from vsr_lightning.reporting.figures import perception_distortion_figure
from vsr_lightning.reporting.notes import metric_notes
from vsr_lightning.reporting.predictions import GroupPredictions
from vsr_lightning.reporting.report import write_report
from vsr_lightning.reporting.results import comparable, read_results
from vsr_lightning.reporting.score_table import write_table
from vsr_lightning.utils.config import CONF
from vsr_lightning.utils.files import write_json


def _brightness(prediction, target):
    return (prediction - target).flatten(1).mean(1).abs()


def _give_score(run, folder, name, value):
    record = json.loads((run / "run.json").read_text())
    record["scores"][name] = value
    folder.mkdir(parents=True)
    (folder / "frames.csv").write_bytes((run / "frames.csv").read_bytes())
    write_json(folder / "run.json", record)


@pytest.mark.parametrize(("higher_is_better", "direction"), [(True, "Higher"), (False, "Lower")])
def test_an_entry_in_the_table_of_metrics_is_all_that_reports_need(
    finished, tmp_path, monkeypatch, higher_is_better, direction
):
    entry = Metric("brightness", higher_is_better, _brightness, about="difference of the means", form=".2e")
    monkeypatch.setitem(metrics.METRICS, "brightness", entry)
    _give_score(finished, tmp_path / "sweep" / "0_net", "brightness", 0.125)

    write_table(tmp_path / "sweep")
    assert "brightness: difference of the means." in (tmp_path / "sweep" / "scores.md").read_text()
    (row,) = csv.DictReader((tmp_path / "sweep" / "scores.csv").open())
    assert row["brightness"] == "1.25e-01"
    monkeypatch.setattr("vsr_lightning.reporting.report.predict_group", lambda group: GroupPredictions())
    write_report([tmp_path / "sweep"], tmp_path / "report")
    (row,) = csv.DictReader((tmp_path / "report" / "table_1.csv").open())
    assert float(row["brightness"]) == 0.125
    (group,) = comparable(read_results([tmp_path / "sweep"]))
    (notes,) = [note for note in metric_notes([("0_net", group.results[0].record)]) if note.startswith(direction)]
    assert "brightness" in notes
    (axes,) = perception_distortion_figure(group, "brightness").axes
    assert axes.yaxis_inverted() is not higher_is_better
    assert axes.get_ylabel().startswith("brightness")


def test_a_metric_of_the_table_is_computed_in_the_test(monkeypatch):
    prediction, target = torch.rand(2, 3, 1, 16, 16)
    monkeypatch.setitem(metrics.METRICS, "brightness", Metric("brightness", False, _brightness))
    torch.testing.assert_close(
        score_frames(METRICS, prediction, target)["brightness"], (prediction - target).mean((1, 2, 3)).abs()
    )


@pytest.mark.parametrize("shape", [(), (1,), (3, 1)])
def test_a_metric_that_returns_no_score_per_frame_is_refused(shape):
    metric = Metric("mine", False, lambda prediction, target: torch.zeros(shape))
    with pytest.raises(ValueError, match=r"the metric mine returned shape .* for 3 frames: let its function return"):
        score_frames({"mine": metric}, *torch.rand(2, 3, 1, 16, 16))


def test_a_metric_cannot_take_the_name_of_another():
    with pytest.raises(ValueError, match=r"module\.metrics\.psnr has the name of another metric: choose another name"):
        SuperResolution(torch.nn.Identity(), torch.nn.MSELoss(), metrics={"psnr": METRICS["ssim"]})


@pytest.mark.parametrize("name", ["video", "frame", "epoch", "step", "loss", "loss_fft", "my-metric", "2nd", "a b", ""])
def test_a_metric_cannot_have_a_name_that_is_no_column_of_its_own(name):
    with pytest.raises(ValueError, match=rf"module\.metrics has '{name}', which can't name a column of scores: choose"):
        SuperResolution(torch.nn.Identity(), torch.nn.MSELoss(), metrics={name: METRICS["ssim"]})


def test_a_users_metric_may_have_a_name_that_another_had_once(vsr, tmp_path):
    fsim = "++module.metrics.flicker={_target_:vsr_lightning.metrics.Metric,title:mine,higher_is_better:true," + (
        "shown:csv,function:{_target_:hydra.utils.get_method,path:vsr_lightning.metrics._haarpsi}}"
    )
    vsr(fsim, "trainer.max_epochs=1", "hydra.run.dir=sweep/0")
    (result,) = read_results([tmp_path / "sweep"])
    assert {"flicker", "temporal_error"} <= set(result.frames)
    assert result.record["scores"]["flicker"] == pytest.approx(result.record["scores"]["haarpsi"])
    assert "flicker" in result.record["config"]["module"]["metrics"]
    write_table(tmp_path / "sweep")
    assert "mine" in (tmp_path / "sweep" / "scores.csv").read_text().splitlines()[0]
    assert "mine" not in (tmp_path / "sweep" / "scores.md").read_text()  # shown: csv


def test_a_metric_chosen_by_its_config_is_scored_and_shown(vsr, tmp_path):
    vsr("metrics=fsim", "trainer.max_epochs=1", "hydra.run.dir=sweep/0")
    record = json.loads((tmp_path / "sweep" / "0" / "run.json").read_text())
    assert 0 < record["scores"]["fsim"] < 1
    write_table(tmp_path / "sweep")
    assert "FSIM: similarity of phase congruency" in (tmp_path / "sweep" / "scores.md").read_text()
    (row,) = csv.DictReader((tmp_path / "sweep" / "scores.csv").open())
    assert float(row["FSIM"]) == pytest.approx(record["scores"]["fsim"], abs=1e-4)
    assert scored_metrics([record])["fsim"].higher_is_better
    assert "fsim" in (tmp_path / "sweep" / "0" / "frames.csv").read_text().splitlines()[0]


def test_a_metrics_file_that_would_do_nothing_is_refused(vsr, tmp_path):
    (tmp_path / "conf" / "metrics").mkdir(parents=True)
    text = (CONF / "metrics" / "fsim.yaml").read_text().replace("# @package module.metrics\n", "")
    (tmp_path / "conf" / "metrics" / "mine.yaml").write_text(text)
    with pytest.raises(SystemExit, match=r"metrics: fsim would do nothing: begin its YAML file with # @package module"):
        vsr("metrics=mine")
