"""The page of findings: made from runs, and again from what is kept of them, with sentences that these bear out."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vsr_lightning.findings import main
from vsr_lightning.reporting.findings import claim, context_of, filled, readme_tables, rendered, wrapped, write_findings
from vsr_lightning.reporting.study import best, next_rate, read_study, read_tuning
from vsr_lightning.reporting.study_figures import picture_figure, pictures
from vsr_lightning.runs.frames import read_frames, units, write_frames
from vsr_lightning.runs.read_record import read_runs
from vsr_lightning.runs.trained import load_run

ROOT = Path(__file__).parents[2]
DOCS, KEPT = ROOT / "docs", ROOT / "docs" / "runs" / "findings"
# numbers that are no result: levels of intervals, sizes, weights, years and counts of the design
OF_THE_DESIGN = {"0", "0.001", "0.003", "0.01", "0.03", "0.1", "1", "100", "12x12", "19", "2", "2,000", "200", "2018",
                 "2024", "24,000", "32", "375", "4", "5", "50", "5,000", "500", "7x7", "75", "750", "80x80", "95",
                 "99.9"}  # fmt: skip
PLACES = {"l1/net_seed0": (0, 1), "l1/net_seed1": (1, 1), "p1/net_seed0": (0, 1), "p1/net_seed1": (1, 1),
          "tune_p1/net_lr2": (0, 2), "start/net_seed0": (0, 1)}  # fmt: skip


@pytest.fixture
def study(finished, tmp_path):
    """A study of one condition: two seeds of two losses, and a trial of a rate."""
    record = json.loads((finished / "run.json").read_text())
    for place, (seed, lr) in PLACES.items():
        folder = tmp_path / "study" / "digits_x4" / place
        shutil.copytree(finished, folder)
        config = {**record["config"], "optimizer": {**record["config"]["optimizer"], "lr": lr}}
        config["output_dir"] = str(folder)
        made = record | {"seed": seed, "config": config, "model": "residual_fusion_small", "validation": {"loss": 0.5}}
        (folder / "run.json").write_text(json.dumps(made))
        if place.startswith("p1"):  # one and three decibels more
            frames = read_frames(folder / "frames.csv")
            frames["psnr"] += 1 + 2 * seed
            write_frames(
                folder / "frames.csv",
                [dict(zip(frames, row, strict=True)) for row in zip(*frames.values(), strict=True)],
            )
    return tmp_path / "study"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.with_name("page.md.jinja").write_text(
        "# A title\n\n{{ tables.changes(digits_x4, ['p1'], ['psnr']) }}\n\n"
        "{{ digits_x4.change('p1', 'psnr') | interval }} dB\n"
    )
    (tmp_path / "readme.md").write_text("<!-- findings -->\nold\n<!-- end of findings -->\n")
    return path


def test_a_page_is_made_from_runs_and_again_from_what_is_kept_of_them(study, page, tmp_path):
    readme, kept = tmp_path / "readme.md", tmp_path / "kept"
    told = write_findings(study, page, readme, kept)
    assert told == [f"kept: 6 runs in {kept}", f"page: {page}", f"page: {readme}"]
    text = page.read_text()
    assert "| perceptual    | +2 (-11 to +15) |" in text
    assert text.endswith("\n\n+2 (-11 to +15) dB\n")
    assert "old" not in readme.read_text()
    assert readme.read_text().count("| digits |") == 1

    written = [path for path in kept.rglob("*") if path.is_file()]
    assert not [path for path in written if str(tmp_path).encode() in path.read_bytes()]
    assert sum(path.stat().st_size for path in written if path.suffix != ".ckpt") < 50_000
    (start,) = (path for path in written if path.suffix == ".ckpt")
    weights, expected = (load_run(folder / "digits_x4/start/net_seed0").weights for folder in (kept, study))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    assert start.stat().st_size < (study / start.relative_to(kept)).stat().st_size / 2
    assert not (kept / "digits_x4/tune_p1/net_lr2/frames.csv").exists()
    (original, then), (copy, now) = (read_runs(folder / "digits_x4/l1/net_seed0")[0] for folder in (study, kept))
    assert now["scores"] == then["scores"]
    frames, videos = (read_frames(folder / "frames.csv") for folder in (original, copy))
    unit = units(frames["video"], frames["frame"])
    expected = [frames["psnr"][unit == number].mean() for number in range(unit.max() + 1)]
    assert videos["psnr"] == pytest.approx(expected, rel=1e-6)

    assert write_findings(None, page, readme, kept) == told[1:]
    assert page.read_text() == text


def test_pictures_are_of_the_truth_and_of_each_treatment(study):
    arm = read_study(study)["digits_x4"]
    shown = pictures(arm, ["l1", "p1"], video=1, crop=(8, 4, 16, 24))
    assert list(shown) == ["truth", "low-res", "bicubic", "perceptual"]  # both fixtures were trained on the same loss
    assert {image.shape for image in shown.values()} == {(1, 1, 16, 24)}
    assert len(picture_figure([shown, shown]).axes) == 8


def test_the_page_is_what_the_kept_runs_make_of_its_template():
    context = context_of(KEPT)
    template = (DOCS / "findings.md.jinja").read_text(encoding="utf-8")
    assert rendered(template, context) == (DOCS / "findings.md").read_text(encoding="utf-8"), "run: make findings"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert filled(readme, readme_tables(context["arms"])) == readme, "run: make findings"


def test_each_loss_of_the_study_has_the_rate_that_tuning_chose():
    tuning = read_tuning(KEPT)
    rates = {key: best(trials).rate for key, trials in tuning.items()}
    trained = {
        (name, treatment, network): {float(it.record["config"]["optimizer"]["lr"]) for it in condition.results}
        for name, arm in read_study(KEPT).items()
        for (treatment, network), condition in arm.conditions.items()
    }
    tuned = trained.keys() & rates.keys()
    assert len(tuned) > 15
    assert {key: trained[key] for key in tuned} == {key: {rates[key]} for key in tuned}
    untried = {key: next_rate(tuning[key], [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]) for key in tuned}
    assert set(untried.values()) == {None}, untried


def test_runs_of_a_seed_went_on_from_the_same_weights():
    starts = {}
    for name, arm in read_study(KEPT).items():
        for (_, network), condition in arm.conditions.items():
            for record in (it.record for it in condition.results if it.record.get("init_from")):
                starts.setdefault((name, network, record["seed"]), set()).add(record["init_from"]["checksum"])
    assert len(starts) > 9
    assert {len(checksums) for checksums in starts.values()} == {1}


def test_no_result_is_written_into_the_template_by_hand():
    text = (DOCS / "findings.md.jinja").read_text(encoding="utf-8")
    for outside in (r"```.*?```", r"\{[{%].*?[%}]\}", r"`[^`]*`", r"\]\([^)]*\)", r"\(MD5 \w+"):
        text = re.sub(outside, " ", text, flags=re.S)
    found = set(re.findall(r"(?<![\w.])\d[\dx.,]*(?<![.,x])", text))
    assert found <= OF_THE_DESIGN, found - OF_THE_DESIGN
    assert len(found) > 10


def test_a_sentence_that_the_runs_do_not_bear_out_stops_the_page(study, page, tmp_path):
    page.with_name("page.md.jinja").write_text("{{ claim(digits_x4.change('p1', 'psnr').better(), 'it is better') }}")
    before = (tmp_path / "readme.md").read_text()
    with pytest.raises(ValueError, match="the runs do not bear out the page's sentence: it is better"):
        write_findings(study, page, tmp_path / "readme.md", tmp_path / "kept")
    assert not page.exists()
    assert not (tmp_path / "kept").exists()
    assert (tmp_path / "readme.md").read_text() == before
    assert claim(True, "it holds") == ""


def test_paragraphs_are_broken_and_tables_code_and_headings_are_not():
    long = "word " * 40
    text = f"# {long}\n\n{long}\n\n- {long}\n- b\n\n| {long} |\n\n```text\n{long}\n```\n"
    made = wrapped(text)
    assert max(len(line) for line in made.split("\n\n")[1].splitlines()) <= 120
    assert made.split("\n\n")[2].splitlines()[1].startswith("  word")
    assert f"# {long}" in made
    assert f"| {long} |" in made
    assert f"```text\n{long}\n```" in made
    assert wrapped(made) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- scores -->", r"the page asks for a table scores: choose among findings"),
        ("<!-- findings -->", r"the page has <!-- findings --> without <!-- end of findings --> after it"),
    ],
)
def test_a_page_with_wrong_marks_says_which(text, message):
    with pytest.raises(ValueError, match=message):
        filled(text, {"findings": "table"})


def test_nothing_to_make_a_page_of_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["findings"])
    with pytest.raises(SystemExit, match=r"error: .*findings.md.jinja is missing: give another --page or --readme"):
        main()


def test_the_best_rate_of_a_tuning_is_printed(study, monkeypatch, capsys):
    words = ["findings", str(study), "--rate", "digits_x4"]
    monkeypatch.setattr(sys, "argv", [*words, "p1", "residual_fusion_small"])
    main()
    assert capsys.readouterr().out == "2.0\n"
    for others, printed in (("1,4", "1.0"), ("4", "4.0"), ("0.5,2", "0.5"), ("2", "")):
        monkeypatch.setattr(sys, "argv", [*words, "p1", "residual_fusion_small", "--next", others])
        main()
        assert capsys.readouterr().out == f"{printed}\n"
    monkeypatch.setattr(sys, "argv", [*words, "p01", "residual_fusion_small"])
    with pytest.raises(
        SystemExit, match="has no tuning of p01 of residual_fusion_small in digits_x4: train that first"
    ):
        main()


TINY = ("data.source=generated", "data.train_videos=12", "data.val_videos=4", "data.test_videos=4", "data.batch_size=4",
        "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1",
        "trainer.accelerator=cpu", "~hydra.callbacks.score_table")  # fmt: skip


@pytest.mark.slow
def test_the_script_trains_the_study_and_goes_on_where_it_was_cut_off(tmp_path):
    words = ["bash", str(DOCS / "findings" / "train.sh"), "digits_x2", *TINY]
    there = {
        "LOSSES": "adv",
        "SEEDS": "0",
        "RATES": "1e-3",
        "OUTER": "3e-3",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(words, cwd=tmp_path, env=os.environ | there, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    study = tmp_path / "runs" / "findings"
    context = context_of(study)
    assert {name for name, _ in context["digits_x2"].conditions} == {"start", "adv", "bicubic", "truth"}
    assert {it["loss"] for _, it in read_runs(study / "digits_x2" / "adv")} == {"mixed + adversarial"}
    assert [[trial.rate for trial in it] for it in context["tuning"].values()] == [[1e-3, 3e-3]]
    times = {path: path.stat().st_mtime_ns for path in study.rglob("last.ckpt")}
    shutil.rmtree(study / "digits_x2" / "adv" / "residual_fusion_small_seed0")
    subprocess.run(words, cwd=tmp_path, env=os.environ | there, capture_output=True, check=True)
    again = {path: path.stat().st_mtime_ns for path in study.rglob("last.ckpt")}
    assert again.keys() == times.keys()
    assert [path.parts[-4:-2] for path in times if times[path] != again[path]] == [
        ("adv", "residual_fusion_small_seed0")
    ]


@pytest.mark.parametrize(
    ("condition", "losses", "message"),
    [
        ("digits", "l1", "there is no condition digits: choose natural_x4, digits_x4 or digits_x2\n"),
        ("digits_x4", "l1 l2", "there is no loss l2: choose among l1 mse p001 "),
    ],
)
def test_the_script_refuses_what_it_does_not_know_before_it_trains(condition, losses, message, tmp_path):
    words = ["bash", str(DOCS / "findings" / "train.sh"), condition]
    there = os.environ | {"LOSSES": losses}
    done = subprocess.run(words, cwd=tmp_path, env=there, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())
