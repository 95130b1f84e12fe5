import csv
import json
import re
from math import nan

import pytest

from vsr_lightning.reporting.clip_table import write_clip_table
from vsr_lightning.reporting.score_table import write_table
from vsr_lightning.runs.frames import write_frames
from vsr_lightning.utils.files import write_json


def _run(folder, name, checksum="a", features=None, **changes):
    (folder / name).mkdir()
    record = {
        "status": "finished", "model": "net", "loss": "mse", "epochs": 2, "wall_time_s": 3.14,
        "scores": {"psnr": 20.12345, "ssim": 0.5, "psnr_eq2": 20.0, "ssim_eq1": 0.25},
        "data": {"name": f"file {checksum}", "description": f"file {checksum}", "checksum": checksum,
                 "test_videos": 2, "frames": 5, "degradation": {"scale": 2}},
        "features": features and {"name": features, "checksum": features * 4}, **changes,
    }  # fmt: skip
    write_json(folder / name / "run.json", record)


def _scores_md(folder):
    write_table(folder)
    return (folder / "scores.md").read_text()


def test_the_csv_holds_a_row_a_run_in_the_jobs_order(tmp_path):
    for name in ("10_net", "2_net", "bicubic", "0_net"):
        _run(tmp_path, name)
    write_table(tmp_path)
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [row["run"] for row in rows] == ["0_net", "2_net", "10_net", "bicubic"]
    assert rows[0]["PSNR (dB)"] == "20.1234"
    assert (rows[0]["Eq. 1"], rows[0]["epochs"], rows[0]["wall time (s)"]) == ("0.2500", "2", "3.1")


def test_the_last_validation_is_shown_where_it_was_on_held_out_videos(tmp_path):
    for name, held_out in (("0_net", 3), ("1_net", 0)):
        config = {"data": {"val_videos": held_out}}
        _run(tmp_path, name, config=config, validation={"loss": 0.5, "psnr": 21.25, "psnr_eq2": 20.5, "haarpsi": 0.75})
    _run(tmp_path, "bicubic")
    title, *lines = write_table(tmp_path).splitlines()
    assert re.search(r"HaarPSI +PSNR, held out +HaarPSI, held out +epochs", title)
    assert [re.findall(r"21\.25 +0\.750 ", line) != [] for line in lines[:3]] == [True, False, False]
    assert "Eq. 2 (dB)" not in _scores_md(tmp_path)
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [row["PSNR (dB), held out"] for row in rows] == ["21.2500", "", ""]
    assert [row["HaarPSI, held out"] for row in rows] == ["0.7500", "", ""]
    titles = ["PSNR (dB), held out", "Eq. 2 (dB), held out", "HaarPSI, held out"]
    assert [title for title in rows[0] if "held out" in title] == titles


def test_runs_on_different_data_are_marked(tmp_path):
    _run(tmp_path, "0_net")
    _run(tmp_path, "1_net")
    assert "Do not compare" not in _scores_md(tmp_path)
    _run(tmp_path, "2_net", checksum="b")
    text = _scores_md(tmp_path)
    assert "Do not compare rows without a common letter in the column compare." in text
    assert "B is apart from A because of: data file b instead of file a." in text
    letters = [row["compare"] for row in csv.DictReader((tmp_path / "scores.csv").open())]
    assert letters == ["A", "A", "B"]


def test_rows_show_the_overrides_in_which_they_differ(tmp_path):
    for number, batch in enumerate((20, 100)):
        overrides = ["loss=mse", "seed=1", f"data.batch_size={batch}"]
        _run(tmp_path, f"{number}_net", overrides=overrides)
    _run(tmp_path, "bicubic", overrides=[])
    write_table(tmp_path)
    swept = [row["swept"] for row in csv.DictReader((tmp_path / "scores.csv").open())]
    assert swept == ["data.batch_size=20", "data.batch_size=100", ""]


def test_another_degradation_counts_as_different_data(tmp_path):
    _run(tmp_path, "0_net")
    data = {
        "name": "x",
        "description": "x",
        "checksum": "a",
        "test_videos": 2,
        "frames": 5,
        "degradation": {"scale": 4},
    }
    _run(tmp_path, "1_net", data=data)
    assert "Do not compare" in _scores_md(tmp_path)


def test_runs_scored_on_other_parts_of_a_frame_are_marked(tmp_path):
    _run(tmp_path, "0_net")
    _run(tmp_path, "1_net", scoring={"luminance": False, "crop_border": 0})
    assert "PSNR and SSIM:" not in _scores_md(tmp_path)
    _run(tmp_path, "2_net", scoring={"luminance": True, "crop_border": 4})
    text = _scores_md(tmp_path)
    assert "PSNR and SSIM: luminance only (BT.601, 16 to 235), without 4 pixels at each side; the other" in text
    assert [row["compare"] for row in csv.DictReader((tmp_path / "scores.csv").open())] == ["A", "A", "B"]


def test_different_features_are_marked(tmp_path):
    _run(tmp_path, "0_net", features="random")
    _run(tmp_path, "1_net")
    assert "Do not compare" not in _scores_md(tmp_path)
    _run(tmp_path, "2_net", features="imagenet")
    text = _scores_md(tmp_path)
    assert "B is apart from A because of: features imagenet instead of random (randomra)." in text
    assert "VGG-19 with imagenet weights, SHA-256 imagenetimag" in text


def test_rows_that_trained_on_the_metrics_features_are_named(tmp_path):
    metric_features = {"name": "bundled", "checksum": "bundled" * 4}
    _run(tmp_path, "0_mse", metric_features=metric_features)
    assert "Trained on the features" not in _scores_md(tmp_path)
    _run(tmp_path, "1_perceptual", features="bundled", metric_features=metric_features)
    _run(tmp_path, "2_perceptual", features="random", metric_features=metric_features)
    text = _scores_md(tmp_path)
    assert "Trained on the features of VGG distance: 1_perceptual. Compare these by HaarPSI instead." in text


def test_rows_that_trained_on_the_features_of_a_further_metric_are_named_with_it(tmp_path):
    through = {"title": "tLP", "higher_is_better": False, "function": {"distance": {"features": "bundled"}}}
    config = {"module": {"metrics": {"tlp": through, "jod": {"title": "JOD", "higher_is_better": True}}}}
    metric_features = {"name": "bundled", "checksum": "bundled" * 4}
    _run(tmp_path, "0_perceptual", features="bundled", config=config, metric_features=metric_features)
    _run(tmp_path, "1_perceptual", features="random", config=config, metric_features=metric_features)
    text = _scores_md(tmp_path)
    assert "Trained on the features of VGG distance, tLP: 0_perceptual. Compare these by HaarPSI instead." in text
    assert "1_perceptual." not in text


def test_lpips_is_a_column_where_a_run_has_it(tmp_path):
    _run(tmp_path, "0_net")
    assert "LPIPS" not in _scores_md(tmp_path)
    _run(tmp_path, "1_net", scores={"lpips": 0.125})
    write_table(tmp_path)
    assert [row["LPIPS"] for row in csv.DictReader((tmp_path / "scores.csv").open())] == ["", "0.1250"]


def test_a_job_that_failed_before_it_had_data_has_a_row_without_scores(tmp_path):
    (tmp_path / "0_net").mkdir()
    record = {"status": "failed", "error": "ValueError: no", "model": "net", "loss": "mse"}
    write_json(tmp_path / "0_net" / "run.json", record)
    text = _scores_md(tmp_path)
    assert "0_net is failed: ValueError: no" in text
    assert next(csv.DictReader((tmp_path / "scores.csv").open()))["compare"] == ""


def test_the_table_is_plain_markdown(tmp_path):
    _run(tmp_path, "0_net")
    lines = _scores_md(tmp_path).splitlines()
    assert lines[0].startswith("| run ")
    assert set(lines[1]) == {"|", "-", " "}
    assert len({line.count("|") for line in lines[:3]}) == 1


def test_the_terminal_shows_what_fits_and_the_files_all(tmp_path):
    for number, loss in enumerate(("mse", "perceptual")):
        overrides = [f"loss={loss}", "seed=0", f"data.batch_size={20 * number + 20}"]
        _run(tmp_path, f"{number}_frame_fusion_{loss}_seed0", loss=loss, overrides=overrides)
        record = json.loads((tmp_path / f"{number}_frame_fusion_{loss}_seed0" / "run.json").read_text())
        record["scores"] |= {"haarpsi": 0.25, "gmsd": 0.125}
        write_json(tmp_path / f"{number}_frame_fusion_{loss}_seed0" / "run.json", record)
    table, _ = write_table(tmp_path).split("\n\n", 1)
    assert max(map(len, table.splitlines())) <= 100
    assert re.split(r"  +", table.splitlines()[0]) == [
        "run", "PSNR", "SSIM", "HaarPSI", "epochs", "time", "status", "swept",
    ]  # fmt: skip
    assert re.search(r"1_frame_fusion_perceptual_seed0  20\.12 .* 0\.250 .* 3\.1 s .* data\.batch_size=40", table)
    head = (tmp_path / "scores.md").read_text().splitlines()[0]
    assert "GMSD" in head
    assert "Eq. 2" not in head
    assert "Eq. 2 (dB)" in (tmp_path / "scores.csv").read_text()


@pytest.mark.parametrize("name", ["a|b", "a||", "|"])
def test_a_bar_in_a_name_stays_in_its_cell(tmp_path, name):
    _run(tmp_path, "0_net", model=name, overrides=["note=x\ny"])
    _run(tmp_path, "1_net", overrides=["note=z"])
    lines = _scores_md(tmp_path).splitlines()[:4]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert f" {name.replace('|', chr(92) + '|')} " in lines[2]
    assert "note=x y" in lines[2]


def test_clips_with_names_have_a_table_of_their_own(tmp_path):
    scores = {
        "psnr": [30.0, 32.0, 20.0],
        "ssim": [0.9, 0.7, 0.5],
        "haarpsi": [1.0, 0.5, 0.25],
        "temporal_error": [nan, 0.5, nan],  # of the first frame of a clip there is none
        "mine": [1.0, 2.0, 3.0],  # of the config, and one that no config knows
        "stray": [1.0, 2.0, 3.0],
    }
    rows = [
        {"video": video, "frame": frame, **{name: values[place] for name, values in scores.items()}}
        for place, (video, frame) in enumerate([(4, 2), (4, 3), (7, 2)])
    ]
    write_frames(tmp_path / "frames.csv", rows)
    record = {
        "data": {"test_clips": {"4": "calendar", "7": "city"}},
        "scores": {name: 0.0 for name in scores if name != "stray"},
        "config": {"module": {"metrics": {"mine": {"title": "Mine", "higher_is_better": True, "form": ".1f"}}}},
    }
    table = write_clip_table(tmp_path, record).splitlines()
    assert [line.split() for line in table[1:]] == [
        ["calendar", "2", "31.0000", "0.8000", "0.7500"], ["city", "1", "20.0000", "0.5000", "0.2500"],
    ]  # fmt: skip
    assert (tmp_path / "clips.csv").read_text().splitlines()[1:] == [
        "calendar,2,31.0000,0.8000,0.7500,0.5000,1.5", "city,1,20.0000,0.5000,0.2500,nan,3.0",
    ]  # fmt: skip
    assert write_clip_table(tmp_path, {"data": {}}) == ""
    assert write_clip_table(tmp_path, {"data": record["data"]}) == ""  # of a run that failed after its frames
