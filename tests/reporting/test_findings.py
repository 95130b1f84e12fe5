"""The page of findings: its tables from runs, and again from what is kept of them."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vsr_lightning.findings import main
from vsr_lightning.reporting.figures import perception_distortion_figure
from vsr_lightning.reporting.findings import filled, of_best, write_findings
from vsr_lightning.reporting.findings_tables import largest
from vsr_lightning.reporting.results import Group, Result, comparable, read_results
from vsr_lightning.reporting.statistics import paired_difference
from vsr_lightning.runs.record import read_runs

ROOT = Path(__file__).parents[2]
MARKS = "".join(f"<!-- {name} -->\nold\n<!-- end of {name} -->\n" for name in ("scores", "differences", "provenance"))


def _cells(page, title):
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    head = next(i for i, line in enumerate(lines) if line[0] == title)
    rows = lines[head + 2 :]
    end = next((i for i, row in enumerate(rows) if set(row[0]) == {"-"}), len(rows) + 1) - 1
    return [dict(zip(lines[head], row, strict=False)) for row in rows[:end]]


def test_a_page_is_filled_from_runs_and_again_from_what_is_kept_of_them(vsr, tmp_path):
    vsr("-m", "loss=mse,perceptual", "seed=0,1", "trainer.max_epochs=1", "hydra.sweep.dir=sweep")
    page, kept = tmp_path / "page.md", tmp_path / "kept"
    figures = "![](page/comparison.png) ![](page/perception_distortion.png) ![](page/readme.png)"
    page.write_text(f"before {figures}\n{MARKS}after\n")
    told = write_findings([tmp_path / "sweep"], [page], kept)
    assert told[:2] == [f"kept: 5 runs in {kept}", f"page: {page}"]
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == [
        "comparison.png",
        "perception_distortion.png",
        "readme.png",
    ]

    text = page.read_text()
    assert text.startswith("before ")
    assert text.endswith("after\n")
    assert "old" not in text
    psnr = [run["scores"]["psnr"] for _, run in read_runs(tmp_path / "sweep") if run["loss"] == "mse"]
    (row,) = (row for row in _cells(text, "network and loss") if row["network and loss"] == "mse")
    mean, spread = map(float, row["PSNR (dB)"].split(" ± "))
    assert (mean, spread) == pytest.approx((np.mean(psnr), np.std(psnr, ddof=1)), abs=0.005)
    (difference,) = _cells(text, "difference")
    conditions = {c.label: c for c in comparable(read_results([tmp_path / "sweep"]))[0].conditions}
    expected = paired_difference(conditions["mse"], conditions["perceptual"], "psnr")
    shown = [float(number) for number in re.findall(r"[-+][\d.]+", difference["PSNR (dB)"])]
    kept_digits = 1e-5  # seven of a PSNR above 10 dB
    assert shown == pytest.approx(expected[:3], abs=0.051 * (expected.high - expected.low) + kept_digits)

    assert write_findings([], [page], kept) == [
        f"page: {page}",
        f"figure: {tmp_path / 'page' / 'perception_distortion.png'}",
    ]
    assert page.read_text() == text
    assert not [path for path in kept.rglob("*") if path.is_file() and str(tmp_path) in path.read_text()]
    assert sum(path.stat().st_size for path in kept.rglob("*") if path.is_file()) < 100_000


def test_runs_apart_from_the_largest_group_have_a_row_each(finished, tmp_path):
    record = json.loads((finished / "run.json").read_text())
    longer = tmp_path / "longer" / "run"
    longer.mkdir(parents=True)
    (longer / "frames.csv").write_bytes((finished / "frames.csv").read_bytes())
    (longer / "run.json").write_text(json.dumps(record | {"epochs": 9}))
    page = tmp_path / "page.md"
    page.write_text("<!-- longer_runs --><!-- end of longer_runs -->")
    write_findings([finished, tmp_path / "longer"], [page], tmp_path / "kept")
    (row,) = _cells(page.read_text(), "run")
    assert row["trained on"] == "54 windows of 5 in steps of 3"


def test_runs_from_weights_of_another_are_apart_and_may_come_alone(finished, tmp_path):
    page, kept = tmp_path / "page.md", tmp_path / "kept"
    page.write_text("<!-- scores --><!-- end of scores --><!-- fine_tuned_scores --><!-- end of fine_tuned_scores -->")
    write_findings([finished], [page], kept)
    record = json.loads((finished / "run.json").read_text())
    on = tmp_path / "on" / "run"
    on.mkdir(parents=True)
    (on / "frames.csv").write_bytes((finished / "frames.csv").read_bytes())
    (on / "run.json").write_text(json.dumps(record | {"init_from": {"path": "a.ckpt"}, "epochs": 9, "loss": "other"}))
    write_findings([tmp_path / "on"], [page], kept)
    scratch, went_on = page.read_text().split("<!-- fine_tuned_scores -->")
    assert "perceptual" in scratch
    assert "other" not in scratch
    assert "| other " in went_on


def test_a_sweep_over_a_weight_is_a_line_in_the_order_of_the_weights(tmp_path):
    def run(loss, psnr, haarpsi, weight=None):
        scores = {"psnr": psnr, "haarpsi": haarpsi}
        config = {"loss": {"terms": {"mse": 1, "perceptual": weight}}} if weight is not None else {}
        record = {"status": "finished", "model": "net", "loss": loss, "seed": 0, "scores": scores, "config": config}
        return Result(tmp_path / f"{loss}{weight}", record)

    runs = [run("mse", 30, 0.9), run("mixed", 28, 0.95, 1), run("mixed", 29, 0.92, 0.01), run("mixed", 26, 0.97, 10)]
    (axes,) = perception_distortion_figure(Group("A", "", tuple(runs)), "haarpsi").axes
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[29, 0.92], [28, 0.95], [26, 0.97]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- sores -->", r"the page asks for a table sores: choose among scores"),
        ("<!-- scores -->", r"the page has <!-- scores --> without <!-- end of scores --> after it"),
    ],
)
def test_a_page_with_wrong_marks_says_which(text, message):
    with pytest.raises(ValueError, match=message):
        filled(text, {"scores": "table"})


def test_nothing_to_make_a_page_of_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["findings", "--kept", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"error: .* is missing: give another --page|error: .* holds no run"):
        main()


def test_the_figure_of_the_readme_has_the_best_network_under_both_losses():
    groups = comparable(read_results([ROOT / "docs" / "runs"]))
    group = largest(groups)
    names = ("truth", "low-res", "bicubic", *(condition.label for condition in group.conditions))
    shown = of_best(group, {name: torch.zeros(4, 1, 64, 64) for name in names}, videos=2)
    assert list(shown) == ["truth", "bicubic", "residual_fusion mse", "residual_fusion perceptual"]
    assert {len(images) for images in shown.values()} == {2}
