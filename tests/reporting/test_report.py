import csv
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from vsr_lightning.report import main
from vsr_lightning.reporting.figures import comparison_figure, perception_distortion_figure, perceptual_metric
from vsr_lightning.reporting.report import write_report
from vsr_lightning.reporting.results import Condition, Result, comparable, read_results
from vsr_lightning.reporting.score_table import write_table
from vsr_lightning.reporting.statistics import by_unit, paired_difference, pairs
from vsr_lightning.runs import comparable as grouping
from vsr_lightning.runs.frames import write_frames
from vsr_lightning.utils.files import write_json
from vsr_lightning.utils.formatting import with_interval, with_spread

DEGRADATION = {"scale": 2, "interpolation": "bicubic", "kernel_size": 3, "sigma": [0.1, 2.0]}
DATA = {"name": "generated", "description": "made up", "checksum": "c" * 32, "train_videos": 6, "test_videos": 3,
        "frames": 5, "degradation": DEGRADATION}  # fmt: skip
BUNDLED = {"name": "bundled", "checksum": "b" * 64}


def _run(sweep, name, loss="mse", seed=0, psnr=20.0, status="finished", overrides=(), **changes):
    """Leave a run as training does, with a PSNR that differs by test video."""
    folder = sweep / name
    folder.mkdir(parents=True)
    values = psnr + np.array([-1.0, 0.0, 1.0])  # a test video each
    record = {
        "status": status, "model": "net", "loss": loss, "seed": seed, "overrides": [f"loss={loss}", *overrides],
        "data": DATA, "features": BUNDLED if loss == "perceptual" else None, "metric_features": BUNDLED,
        "wall_time_s": 1,
        "git": {"commit": "a" * 40, "dirty": False}, "epochs": 2,
        "config": {"trainer": {"max_epochs": 2}, "data": {"_target_": "vsr_lightning.gone.Gone"}}, **changes,
    }  # fmt: skip
    if status == "finished":
        record["scores"] = {
            "loss": 0.5,
            "psnr": psnr,
            "ssim": 0.5,
            "ssim_eq1": 0.1,
            "vgg_distance": 2.0,
            "haarpsi": 0.3,
        }
        rows = [
            {"video": 8000 + video, "frame": start, "psnr": value + (-1) ** start}
            for video, value in enumerate(values)
            for start in range(16)
        ]
        write_frames(folder / "frames.csv", rows)
    write_json(folder / "run.json", record)


def _table(report, name):
    return list(csv.DictReader((report / f"{name}.csv").open()))


@pytest.fixture
def sweep(tmp_path):
    for seed in range(3):
        _run(tmp_path / "sweep", f"{seed}_mse", seed=seed, psnr=20 + seed)
        _run(tmp_path / "sweep", f"{seed + 3}_perceptual", "perceptual", seed, psnr=18 + 2 * seed)
    _run(tmp_path / "sweep", "bicubic", "", model="bicubic", psnr=21.0, epochs=0)
    return tmp_path / "sweep"


def test_table_1_has_mean_spread_and_number_of_seeds(sweep):
    write_report([sweep], sweep / "report")
    rows = {row["condition"]: row for row in _table(sweep / "report", "table_1")}
    assert list(rows) == ["mse", "perceptual", "bicubic"]
    for label, psnr in {"mse": [20, 21, 22], "perceptual": [18, 20, 22]}.items():
        assert rows[label]["n"] == "3"
        assert float(rows[label]["psnr"]) == pytest.approx(np.mean(psnr))
        assert float(rows[label]["psnr_sd"]) == pytest.approx(np.std(psnr, ddof=1))
    text = (sweep / "report" / "report.md").read_text()
    assert "| 3 of 3 | 20.00 ± 2.00 " in text
    assert "Trained on the features of VGG distance: perceptual." in text
    assert "Data: made up." in text


def test_losses_are_compared_on_the_same_videos(tmp_path):
    for name, loss, of_video in (("0", "mse", [1, 5, 9, 2]), ("1", "perceptual", [2, 7, 12, 6])):
        _run(tmp_path, name, loss)
        rows = [{"video": v, "start": s, "psnr": x + s} for v, x in enumerate(of_video) for s in range(16)]
        write_frames(tmp_path / name / "frames.csv", rows)
    (group,) = comparable(read_results([tmp_path]))
    mse, perceptual = group.conditions
    difference = paired_difference(mse, perceptual, "psnr")
    assert (difference.mean, difference.videos, difference.seeds) == (pytest.approx(2.5), 4, 1)
    # the plain way: resample the four differences, and look where the middle 95 % of the means lie
    rng = np.random.default_rng(1)
    means = [rng.choice([1, 2, 3, 4], 4).mean() for _ in range(20_000)]
    assert (difference.low, difference.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.13)


def test_only_seeds_that_both_have_are_paired(sweep):
    _run(sweep, "9_perceptual", "perceptual", seed=9, psnr=99.0)
    write_report([sweep], sweep / "report")
    row = next(row for row in _table(sweep / "report", "differences") if row["score"] == "PSNR (dB)")
    assert (row["difference"], row["seeds"], row["videos"]) == ("perceptual minus mse", "3", "12")
    assert float(row["mean"]) == pytest.approx(-1)  # 18, 20, 22 against 20, 21, 22


def test_a_killed_and_a_failed_job_are_named_and_not_counted(sweep):
    for name, status in (("0_mse", "running"), ("3_perceptual", "failed")):
        record = json.loads((sweep / name / "run.json").read_text())
        del record["scores"]
        record.update(status=status, **({"error": "out of luck"} if status == "failed" else {}))
        write_json(sweep / name / "run.json", record)
    write_report([sweep], sweep / "report")
    text = (sweep / "report" / "report.md").read_text()
    assert "2 of 7 runs have no scores" in text
    assert re.search(r"0_mse +\| running +\| still running, or killed", text)
    assert re.search(r"3_perceptual +\| failed +\| out of luck", text)
    assert [row["n"] for row in _table(sweep / "report", "table_1")] == ["2", "2", "1"]
    assert {row["seeds"] for row in _table(sweep / "report", "differences")} == {"2"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epochs": 9}, "epochs 9 instead of 2"),
        ({"epochs": None, "config": {"trainer": {"max_epochs": 9}}, "status": "running"}, "epochs 9 instead of 2"),
        ({"git": {"commit": "d" * 40, "dirty": True}}, "commit dddddddd with changes instead of aaaaaaaa"),
        ({"data": {**DATA, "checksum": "e" * 32}}, "data generated (eeeeeeee) instead of generated (cccccccc)"),
        ({"data": {**DATA, "degradation": {**DEGRADATION, "scale": 4}}}, "degradation x4 bicubic"),
        ({"data": {**DATA, "degradation": {**DEGRADATION, "kernel_size": 1}}}, "degradation x2 bicubic, no blur"),
        ({"scoring": {"luminance": True, "crop_border": 0}}, "PSNR and SSIM of luminance only"),
        ({"features": {"name": "random", "checksum": "r" * 64}}, "features random (rrrrrrrr) instead of bundled"),
    ],
)
def test_runs_that_cannot_be_compared_are_grouped_apart_with_the_reason(sweep, changes, reason):
    _run(sweep, "7_perceptual", "perceptual", **changes)
    write_report([sweep], sweep / "report")
    text = (sweep / "report" / "report.md").read_text()
    assert "They make 2 groups that can't be compared" in text
    assert f"Apart from group A because of: {reason}" in text
    assert [row["n"] for row in _table(sweep / "report", "table_1_a")][:2] == ["3", "3"]
    assert "1" in [row["n"] for row in _table(sweep / "report", "table_1_b")]


def test_a_metric_with_other_parameters_is_another_one(tmp_path):
    for number, patch in enumerate((7, 7, 5, None)):
        function = {"_target_": "here.Wasserstein", "patch": patch, "of": {"levels": 2}}
        metrics = {"likeness": {"title": "likeness", "function": function}} if patch else {}
        _run(tmp_path, str(number), seed=number, config={"module": {"metrics": metrics}})
    one, other = comparable(read_results([tmp_path]))
    assert [result.path.name for result in one.results] == ["0", "1", "3"]
    assert [result.path.name for result in other.results] == ["2", "3"]  # what was not scored by it joins both
    parameters = ["Wasserstein(patch=5, of.levels=2)", "Wasserstein(patch=7, of.levels=2)"]
    assert other.reason == "metric likeness {} instead of {}".format(*parameters)


def test_what_was_swept_beside_the_loss_tells_conditions_apart(tmp_path):
    for number, batch in enumerate((20, 100)):
        for seed in (0, 1):
            config = {"trainer": {"max_epochs": 2}, "data": {"batch_size": batch, "root": f"{number}"}}
            overrides = [f"seed={seed}", f"data.batch_size={batch}", f"data.root={number}"] if number else []
            _run(tmp_path, f"{number}{seed}", seed=seed, overrides=overrides, config=config)
    (group,) = comparable(read_results([tmp_path]))
    assert [condition.label for condition in group.conditions] == ["mse data.batch_size=20", "mse data.batch_size=100"]
    assert [len(condition.results) for condition in group.conditions] == [2, 2]


def test_a_part_of_the_config_is_named_as_the_command_did(tmp_path):
    average = {"callbacks": {"average_weights": {"_target_": "Average", "decay": 0.9}}}
    for number, (name, options) in enumerate({"adam": {"fused": True}, "muon": {"momentum": 0.95}}.items()):
        for ema in (False, True):
            for seed in (0, 1):
                config = {"optimizer": {"_target_": name, "lr": number, **options}, **(average if ema else {})}
                chosen = [
                    f"optimizer={name}",
                    f"callbacks={'ema' if ema else 'default'}",
                    "trainer=fast",
                    f"seed={seed}",
                ]
                _run(tmp_path, f"{name}{ema}{seed}", seed=seed, config=config, overrides=chosen)
    (group,) = comparable(read_results([tmp_path]))
    expected = [f"mse optimizer={name} callbacks={kept}" for name in ("adam", "muon") for kept in ("default", "ema")]
    assert [condition.label for condition in group.conditions] == expected
    config["optimizer"]["lr"] = 7
    _run(tmp_path, "rate", config=config, overrides=["optimizer=muon", "callbacks=ema", "optimizer.lr=7"])
    (group,) = comparable(read_results([tmp_path]))
    assert group.conditions[-1].label == "mse optimizer=muon callbacks=ema optimizer.lr=7"


def test_an_experiment_stands_for_all_that_it_sets(tmp_path):
    for name, (rate, width) in {"small": (2e-3, 32), "large": (1e-3, 64)}.items():
        for seed in (0, 1):
            config = {"optimizer": {"lr": rate}, "model": {"width": width}}
            overrides = [f"experiment={name}", f"seed={seed}"]
            _run(tmp_path, f"{name}{seed}", seed=seed, config=config, overrides=overrides)
    (group,) = comparable(read_results([tmp_path]))
    assert [condition.label for condition in group.conditions] == ["mse experiment=large", "mse experiment=small"]
    config["optimizer"]["lr"] = 7
    _run(tmp_path, "tuned", config=config, overrides=["experiment=large", "optimizer.lr=7"])
    (group,) = comparable(read_results([tmp_path]))
    assert group.conditions[-1].label == "mse experiment=large optimizer.lr=7"


def test_weights_that_were_typed_at_once_name_their_runs(tmp_path):
    _run(tmp_path, "start", "l1", config={"optimizer": {"lr": 2e-3}}, overrides=["experiment=start"])
    for name, terms in (("one", {"mse": 1, "l1": 0}), ("other", {"mse": 0, "l1": 1})):
        config = {"optimizer": {"lr": 1e-3}, "loss": {"terms": terms, "losses": {}}}
        weights = ",".join(f"{loss}:{weight}" for loss, weight in terms.items())
        _run(tmp_path, name, "mixed", config=config, overrides=["experiment=on", f"loss.terms={{{weights}}}"])
    (group,) = comparable(read_results([tmp_path]))
    assert [condition.label for condition in group.conditions] == [
        "mixed experiment=on loss.terms.mse=1 loss.terms.l1=0",
        "mixed experiment=on loss.terms.mse=0 loss.terms.l1=1",
        "l1 experiment=start",
    ]


def test_an_experiment_that_all_runs_share_stands_for_nothing(tmp_path):
    for number, (rate, overrides) in enumerate({1e-3: [], 7: ["optimizer.lr=7"]}.items()):
        config = {"optimizer": {"lr": rate}}
        _run(tmp_path, f"{number}", config=config, overrides=["experiment=large", *overrides])
    (group,) = comparable(read_results([tmp_path]))
    assert [condition.label for condition in group.conditions] == ["mse optimizer.lr=0.001", "mse optimizer.lr=7"]


def test_runs_whose_configs_differ_are_told_apart_whatever_the_command_said(tmp_path):
    for number, (loss, lr) in enumerate((("mse", 1e-4), ("mse", 1e-2), ("perceptual", 1e-4), ("perceptual", 1e-2))):
        config = {"optimizer": {"lr": lr}, "loss": {"layers": "published"} if loss == "perceptual" else {}}
        _run(tmp_path, str(number), loss, config=config, overrides=[f"ckpt_path=run{number}"])
    (group,) = comparable(read_results([tmp_path]))
    labels = [f"{loss} optimizer.lr={lr}" for loss in ("mse", "perceptual") for lr in (0.0001, 0.01)]
    assert [condition.label for condition in group.conditions] == labels
    assert [(one.label, two.label) for one, two in pairs(group)] == [
        (labels[0], labels[2]),
        (labels[1], labels[3]),
    ]


def test_a_key_that_only_one_loss_has_leaves_the_losses_comparable(tmp_path):
    _run(tmp_path, "0", "mse", config={"loss": {"_target_": "a"}})
    for number, layers in ((1, "all"), (2, "published")):
        _run(tmp_path, str(number), "perceptual", config={"loss": {"_target_": "b", "layers": layers}})
    (group,) = comparable(read_results([tmp_path]))
    found = [(one.label, two.label) for one, two in pairs(group)]
    assert ("mse", "perceptual loss.layers=all") in found
    assert ("mse", "perceptual loss.layers=published") in found


def test_networks_are_compared_under_the_same_loss(tmp_path):
    for model, gain in (("plain", 0), ("deep", 3)):
        _run(tmp_path, f"{model}_mse", model=model, psnr=20.0 + gain)
        for layers in ("all", "published"):
            config = {"loss": {"layers": layers}, "model": {"width": gain}}
            _run(tmp_path, f"{model}_{layers}", "perceptual", model=model, config=config, psnr=18.0 + gain)
    (group,) = comparable(read_results([tmp_path]))
    found = [(one.label, two.label) for one, two in pairs(group)]
    networks = ("mse", "perceptual loss.layers=all", "perceptual loss.layers=published")
    assert {(f"deep {loss}", f"plain {loss}") for loss in networks} <= set(found)
    assert ("deep mse", "plain perceptual loss.layers=all") not in found
    write_report([tmp_path], tmp_path / "report")
    rows = {(row["difference"], row["score"]): row["mean"] for row in _table(tmp_path / "report", "differences")}
    assert float(rows["plain mse minus deep mse", "PSNR (dB)"]) == pytest.approx(-3)


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (33.2897, 0.0042, "33.290 ± 0.004"),
        (18.9, 0.47, "18.90 ± 0.47"),
        (0.5, float("nan"), "0.500"),
        (0.5, 0, "0.500 ± 0.000"),
    ],
)
def test_a_spread_has_a_digit_that_tells_something(mean, sd, text):
    assert with_spread(mean, sd) == text


def test_a_start_is_told_by_its_loss_and_checksum(tmp_path):
    for number, (place, checksum) in enumerate([("here", "3f2a9c1d0"), ("there", "3f2a9c1d0"), ("other", "77c0ffee1")]):
        path = f"runs/{place}/checkpoints/last.ckpt"
        start = {"path": path, "checksum": checksum, "loss": "l1", "epochs": 1}
        _run(tmp_path, f"{number}", seed=number, config={"init_from": path}, init_from=start)
    (group,) = comparable(read_results([tmp_path]))
    labels = [f"mse init_from=l1 (1 epoch, {checksum})" for checksum in ("3f2a9c1d", "77c0ffee")]
    assert [condition.label for condition in group.conditions] == labels
    assert [len(condition.results) for condition in group.conditions] == [2, 1]


def test_runs_that_went_on_from_the_start_of_their_seed_repeat_one_another(tmp_path):
    for number, (seed, lr) in enumerate([(0, 1), (1, 1), (0, 2), (1, 2)]):
        start = {"path": "p", "checksum": f"{seed}{seed}", "loss": "l1", "epochs": 1}
        config = {"init_from": "p", "optimizer": {"lr": lr}}
        _run(tmp_path, f"{number}", seed=seed, config=config, init_from=start)
    (group,) = comparable(read_results([tmp_path]))
    assert [condition.label for condition in group.conditions] == ["mse optimizer.lr=1", "mse optimizer.lr=2"]
    assert [len(condition.results) for condition in group.conditions] == [2, 2]


def test_starts_that_differ_in_more_than_the_seed_are_told(tmp_path):
    for seed, epochs in enumerate([1, 50]):
        start = {"path": "p", "checksum": f"{seed}{seed}", "loss": "l1", "epochs": epochs}
        _run(tmp_path, f"{seed}", seed=seed, config={"init_from": "p"}, init_from=start)
    (group,) = comparable(read_results([tmp_path]))
    labels = ["mse init_from=l1 (1 epoch, 00)", "mse init_from=l1 (50 epochs, 11)"]
    assert [condition.label for condition in group.conditions] == labels


def test_a_long_label_stays_within_its_figure(tmp_path):
    for number in range(2):
        _run(tmp_path, f"{number}", config={"init_from": f"runs/{'a_folder_' * 8}{number}/checkpoints/last.ckpt"})
    (group,) = comparable(read_results([tmp_path]))
    plane = perception_distortion_figure(group, "haarpsi")
    pictures = comparison_figure({condition.label: torch.zeros(2, 1, 8, 8) for condition in group.conditions})
    for figure in (plane, pictures):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        titles = [axes.title for axes in figure.axes if axes.get_title()]
        texts = titles or [axes.get_legend() for axes in figure.axes]
        places = [text.get_window_extent(canvas.get_renderer()) for text in texts]
        assert all(place.x0 >= 0 and place.x1 <= canvas.get_width_height()[0] for place in places)
        assert all(one.x1 <= two.x0 for one, two in pairwise(places))


def test_what_a_refused_run_does_not_know_is_left_empty(tmp_path):
    _run(tmp_path, "0")
    _run(tmp_path, "1", status="failed", data=None)
    write_report([tmp_path], tmp_path / "report")
    known, unknown = _table(tmp_path / "report", "provenance")
    assert known["degradation"]
    assert "None" not in " ".join(unknown.values())


def test_a_sum_of_losses_is_told_with_its_weights(tmp_path):
    _run(tmp_path, "0", "mixed", config={"loss": {"terms": {"mse": 1, "l1": 0, "perceptual": 0.01}}})
    write_report([tmp_path], tmp_path / "report")
    (row,) = _table(tmp_path / "report", "provenance")
    assert row["loss"] == "mixed (mse 1, perceptual 0.01)"


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((-1.9634, -2.0231, -1.9149), "-1.96 (-2.02 to -1.91)"),
        ((0.0001234, 0.0001191, 0.0001304), "+0.000123 (+0.000119 to +0.000130)"),
        ((12.3, -40.0, 70.0), "+12 (-40 to +70)"),
        ((0.5, 0.5, 0.5), "+0.5000 (+0.5000 to +0.5000)"),
    ],
)
def test_an_interval_has_the_digits_that_tell_its_ends_apart(ends, text):
    assert with_interval(*ends) == text


def test_a_report_leaves_nothing_of_an_earlier_one(sweep, tmp_path):
    _run(sweep, "7_perceptual", "perceptual", epochs=9)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "mine.csv").write_text("kept")
    write_report([sweep], tmp_path / "report")
    assert (tmp_path / "report" / "table_1_b.csv").exists()
    shutil.rmtree(sweep / "7_perceptual")
    write_report([sweep], tmp_path / "report")
    assert not (tmp_path / "report" / "table_1_b.csv").exists()
    assert (tmp_path / "report" / "table_1.csv").exists()
    assert (tmp_path / "report" / "mine.csv").exists()


@pytest.mark.parametrize(("trainer", "told"), [
    ({}, "all"), ({"limit_test_batches": 1.0}, "all"), ({"limit_test_batches": 1}, "24"),
    ({"limit_test_batches": 0.5}, "24"), ({"limit_test_batches": 1.0, "fast_dev_run": True}, "24"),
])  # fmt: skip
def test_a_record_says_which_share_of_the_frames_was_tested(trainer, told):
    record = {"config": {"trainer": trainer}, "tested_frames": 24}
    assert grouping.test_key(record)["tested frames"] == told
    counted_by_batches = grouping.test_key({"config": {"trainer": trainer}, "status": "finished"})["tested frames"]
    assert (counted_by_batches == "all") == (told == "all")
    unfinished = grouping.test_key({"config": {"trainer": trainer}})
    assert unfinished.get("tested frames") == ("all" if told == "all" else None)


def test_a_video_without_a_score_is_left_out_of_the_difference(tmp_path):
    conditions = []
    for place, values in enumerate(([1.0, 2.0, 3.0, np.nan], [2.0, 4.0, 4.0, np.nan])):
        result = Result(tmp_path, {"status": "finished", "seed": 0})
        result.__dict__["frames"] = {"video": np.array([5, 5, 6, 7]), "score": np.array(values)}
        conditions.append(Condition(str(place), (result,)))
        np.testing.assert_equal(by_unit(result, "score"), [(values[0] + values[1]) / 2, values[2], np.nan])
    found = paired_difference(*conditions, "score")
    assert (found.mean, found.videos) == (1.25, 2)


@pytest.mark.parametrize(("loss", "metric"), [("mse", "lpips"), ("lpips", "haarpsi"), ("mixed", "haarpsi")])
def test_looks_are_judged_by_a_metric_that_no_run_was_trained_on(tmp_path, loss, metric):
    terms = {"terms": {"mse": 1, "lpips": 0.1, "psnr": 0}} if loss == "mixed" else {}
    record = {"status": "finished", "loss": loss, "scores": {"lpips": 1, "haarpsi": 1}, "config": {"loss": terms}}
    assert perceptual_metric([Condition("", (Result(tmp_path, record),))]) == metric


def test_a_run_that_was_tested_on_fewer_windows_is_grouped_apart(sweep):
    config = {"trainer": {"max_epochs": 2, "limit_test_batches": 3}, "data": {}}
    _run(sweep, "7_perceptual", "perceptual", config=config, tested_frames=24)
    write_report([sweep], sweep / "report")
    assert "because of: tested frames 24 instead of all" in (sweep / "report" / "report.md").read_text()


def test_only_scores_of_the_same_videos_are_paired(sweep):
    _run(sweep, "8_l1", "l1", seed=0)
    lines = (sweep / "8_l1" / "frames.csv").read_text().splitlines()
    (sweep / "8_l1" / "frames.csv").write_text("\n".join(lines[:20]) + "\n")
    write_report([sweep], sweep / "report")
    assert {row["difference"] for row in _table(sweep / "report", "differences")} == {"perceptual minus mse"}


@pytest.mark.parametrize(
    "changes",
    [
        {"git": {"commit": "d" * 40, "dirty": False}},
        {"epochs": 9},
        {"data": {**DATA, "checksum": "e" * 32}},
        {"scoring": {"crop_border": 4}},
    ],
)
def test_the_letters_of_the_score_table_are_the_groups_of_the_report(sweep, changes):
    _run(sweep, "7_perceptual", "perceptual", **changes)
    write_table(sweep)
    write_report([sweep], sweep / "report")
    letters = {row["run"]: row["compare"] for row in csv.DictReader((sweep / "scores.csv").open())}
    assert letters["0_mse"] == "A"
    assert letters["7_perceptual"] == "B"
    assert letters["bicubic"] == ("A B" if changes.keys() & {"git", "epochs"} else "A")
    assert letters == {row["run"]: row["group"] for row in _table(sweep / "report", "provenance")}


def test_several_sweeps_are_one_report_and_a_repeated_seed_counts_once(sweep, tmp_path):
    _run(tmp_path / "again", "0_mse", seed=0, psnr=30.0)
    write_report([sweep, tmp_path / "again", sweep], tmp_path / "report")
    row = _table(tmp_path / "report", "table_1")[0]
    assert (row["n"], float(row["psnr"])) == ("3", pytest.approx((30 + 21 + 22) / 3))


def test_a_bar_in_a_runs_name_leaves_the_tables_whole(sweep):
    _run(sweep, "9_a|b", "mse", seed=9, model="a|b")
    write_report([sweep], sweep / "report")
    rows = [line for line in (sweep / "report" / "report.md").read_text().splitlines() if line.startswith("|")]
    own = next(line for line in rows if line.startswith("| 9_a"))
    assert own.startswith("| 9_a\\|b ")
    table = [line for line in rows if len(line) == len(own)]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


class _Page(HTMLParser):
    """Collects what a browser would fetch, and the text of the headings."""

    def __init__(self):
        super().__init__()
        self.fetched, self.pictures, self.tables = [], [], 0

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            assert attributes["alt"]
            self.pictures.append(attributes["src"])
        self.tables += tag == "table"
        links = [attributes.get("src", ""), attributes.get("href", "")]
        self.fetched += [link for link in links if link and not link.startswith(("data:", "#"))]


@pytest.mark.slow
def test_a_sweep_ends_with_a_page_that_holds_its_pictures_and_tables(vsr, capsys, tmp_path):
    small = ["trainer.max_epochs=1", "loss=mse,perceptual", "seed=0,1,2", "data.train_videos=3"]
    vsr("-m", *small, "hydra.sweep.dir=sweep")
    report = tmp_path / "sweep" / "report"
    assert f"report:    {report / 'index.html'}" in capsys.readouterr().out
    page = _Page()
    page.feed((report / "index.html").read_text())
    assert not page.fetched
    assert len(page.pictures) == 3
    assert page.tables == 6
    for name in ("curves", "comparison", "perception_distortion"):
        assert Image.open(BytesIO((report / f"{name}.png").read_bytes())).width > 300
    losses = {row["condition"]: row for row in _table(report, "losses")}
    assert list(losses) == ["mse", "perceptual", "bicubic"]
    # two test videos are all that there are, so the mean over them is the run's own test loss
    runs = [json.loads(path.read_text()) for path in sorted((tmp_path / "sweep").glob("[0-9]*/run.json"))]
    for loss, name in (("mse", "mse"), ("perceptual", "perceptual (random)")):
        own = np.mean([run["scores"]["loss"] for run in runs if run["loss"] == loss])
        assert float(losses[loss][name]) == pytest.approx(own, rel=1e-3)
    assert [row["n"] for row in _table(report, "table_1")] == ["3", "3", "1"]
    assert len(_table(report, "differences")) == 6


def test_a_folder_without_runs_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"error: .* holds no run: give a sweep's folder"):
        main()


def test_what_runs_say_of_themselves_is_escaped_on_the_page(sweep):
    hostile = "<script>alert(1)</script>"
    _run(sweep, "9_hostile", "charbonnier", psnr=19.0, overrides=(f"loss.note={hostile}",),
         data=DATA | {"description": hostile}, model=hostile)  # fmt: skip
    _run(sweep, "10_broken", "mse", seed=9, status="failed", error=f"it failed: {hostile}")
    write_report([sweep], sweep / "report")
    page = (sweep / "report" / "index.html").read_text()
    assert hostile not in page
    assert "&lt;script&gt;alert(1)" in page
