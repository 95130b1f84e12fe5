"""What the study says of its runs, against NumPy and SciPy."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from vsr_lightning.reporting import study_tables as tables
from vsr_lightning.reporting.results import Condition, Result
from vsr_lightning.reporting.study import WINDOW_NETWORK, Arm, Trial, best, is_trial, read_study, read_tuning, trials_of
from vsr_lightning.reporting.study_figures import plane
from vsr_lightning.utils.formatting import with_interval

RNG = np.random.default_rng(0)


def _result(path, loss="l1", seed=0, terms=None, frames=(), model=WINDOW_NETWORK, lr=1e-3, **record):
    """A finished run whose scores are the means of its frames', one per video."""
    columns = {name: np.asarray(values, float) for name, values in dict(frames).items()}
    config = {"loss": {"terms": terms or {}}, "optimizer": {"lr": lr}}
    made = {"status": "finished", "model": model, "loss": loss, "seed": seed, "config": config, "device": "cpu"}
    made |= {"scores": {name: float(values.mean()) for name, values in columns.items()}, "wall_time_s": 61}
    result = Result(path, made | record)
    videos = len(next(iter(columns.values()), ()))
    result.__dict__["frames"] = {"video": np.arange(videos), "frame": np.zeros(videos, int), **columns}
    return result


@pytest.fixture
def arm(tmp_path):
    """Five seeds on 40 videos: one treatment costs 1 dB and takes a fifth off the GMSD, another does nothing."""
    runs = {"l1": [], "p01": [], "adv": []}
    for seed in range(5):
        psnr, gmsd = 20 + RNG.normal(size=40), 0.5 + 0.01 * RNG.normal(size=40)
        of = {"l1": (psnr, gmsd), "adv": (psnr + 0.1 * RNG.normal(size=40), gmsd + 0.1 * RNG.normal(size=40))}
        of["p01"] = (psnr - 1 + 0.1 * RNG.normal(size=40), gmsd - 0.1 + 0.01 * RNG.normal(size=40))
        for name, (one, other) in of.items():
            terms = {"l1": 1, "perceptual": 0.01 if name == "p01" else 0}
            loss = "mixed + adversarial" if name == "adv" else "mixed"
            frames = {"psnr": one, "gmsd": other}
            more = {
                "validation_psnr": [1.0, 3.0, 3.0 + seed],
                "init_from": {"checksum": "0", "loss": "l1", "epochs": 6},
            }
            runs[name].append(_result(tmp_path, loss, seed, terms, frames, **more))
    truth = _result(tmp_path, "", frames={"psnr": np.full(40, 100.0), "gmsd": np.zeros(40)}, model="truth")
    conditions = {(name, WINDOW_NETWORK): Condition(name, tuple(results)) for name, results in runs.items()}
    return Arm("digits_x4", {**conditions, ("truth", "truth"): Condition("truth", (truth,))})


def test_a_change_is_paired_over_seeds_and_videos(arm):
    found = arm.change("p01", "psnr")
    expected = [
        two.frames["psnr"] - one.frames["psnr"]
        for one, two in zip(arm.runs("l1").results, arm.runs("p01").results, strict=True)
    ]
    assert found.values == pytest.approx(np.array(expected))
    assert found.mean == pytest.approx(np.mean(expected))
    low, high = found.over()[1:]
    assert low < -1 + 0.05
    assert high > -1 - 0.05
    assert high - low < 0.2
    assert found.over(0.999).low < low
    assert (found.better(), found.worse(), found.open) == (False, True, False)
    spread = np.std(np.mean(expected, 1), ddof=1) * np.sqrt(1 + 1 / 5)
    assert found.same_order == pytest.approx(stats.t.cdf(abs(found.mean) / spread, 4))


def test_lower_may_be_better_and_percent_are_of_the_controls_mean(arm):
    found = arm.change("p01", "gmsd")
    assert (found.better(), found.worse()) == (True, False)
    control = np.mean([result.frames["gmsd"] for result in arm.runs("l1").results])
    assert found.percent.mean == pytest.approx(100 * found.mean / control)
    assert found.percent.low < found.percent.mean < found.percent.high


def test_no_difference_is_neither_better_nor_worse(arm):
    assert [arm.change("adv", "gmsd").better(0.95), arm.change("adv", "gmsd").worse(0.95)] == [False, False]
    assert arm.mean("truth", "psnr").mean == 100
    assert arm.gained("l1") == pytest.approx(2)


def test_what_was_not_trained_is_named_with_what_was(arm):
    with pytest.raises(ValueError, match="digits_x4 has no p1 of residual_fusion_small: there are adv, l1, p01, truth"):
        arm.runs("p1")
    with pytest.raises(ValueError, match=r"truth and l1 share no seed, or no videos, with ssim"):
        arm.change("truth", "ssim")


def test_a_table_of_changes_has_better_ones_bold_and_worse_ones_in_italics(arm):
    one, other = tables.changes(arm, ["p01", "adv"], ["psnr", "gmsd"]).splitlines()[2:]
    assert one.startswith("| L1 + 0.01 perceptual | *-1.0")
    assert one.count("**") == 2
    assert other.startswith("| L1 + adversarial")
    assert "*" not in other
    assert tables.scores(arm, ["truth"], ["psnr"]).splitlines()[2].split("|")[1:4] == [
        " truth      ",
        " 1 ",
        " 100.00    ",
    ]
    assert tables.orders(arm, ["p01"], ["psnr"]).splitlines()[2].split("|")[2].strip() == "> 99"
    arm.runs("l1").results[0].record["device"] = "a GPU"
    assert "1 min 01 s (a GPU, n = 1); 1 min 01 s (cpu, n = 4)" in tables.budget([arm], ["l1"])
    assert re.fullmatch(
        r"\| GMSD \| [+-]\d\.\d\d \(.* to .*\) +\|", tables.agreement(arm, ["psnr", "gmsd"]).splitlines()[2]
    )


def test_a_metric_without_a_direction_is_not_marked(arm):
    (row,) = tables.changes(arm, ["p01"], ["psnr", "gmsd"], unmarked=["gmsd"]).splitlines()[2:]
    assert row.count("*") == 2


def test_a_table_of_variants_says_what_the_perceptual_loss_looks_through(arm):
    for name, layers in (("p01", ["relu5_4", "conv5_4"]), ("adv", "all")):
        record = arm.runs(name).results[0].record
        record["config"]["loss"]["losses"] = {"perceptual": {"layers": layers, "difference": "squared"}}
        record["config"]["optimizer"] = {"lr": 0.001}
        record["features"] = {"name": "bundled"}
    rows = tables.variants(arm, ["p01", "adv"], ["psnr"]).splitlines()[2:]
    cells = [[cell.strip() for cell in row.split("|")[2:-1]] for row in rows]
    assert [row[:-1] for row in cells] == [
        ["bundled", "relu5_4, conv5_4", "squared", "0.001", "5"],
        ["bundled", "all", "squared", "0.001", "5"],
    ]
    assert cells[0][-1] == f"*{with_interval(*arm.change('p01', 'psnr').over())}*"


def test_a_table_of_clips_has_the_change_on_each(arm):
    for result in arm.runs("l1").results:
        result.record["data"] = {"test_clips": {"0": "one.mp4, frames 2 to 9", "1": "two.mp4"}}
    assert arm.clips == {0: "one.mp4", 1: "two.mp4"}
    of_one = arm.of_video(1)
    values = of_one.change("p01", "psnr").values
    assert values == pytest.approx(arm.change("p01", "psnr").values[:, [1]])
    rows = tables.of_clips(arm, ["p01"], ["psnr"]).splitlines()[2:]
    assert [row.split("|")[2].strip() for row in rows] == ["one.mp4", "two.mp4"]
    assert with_interval(*of_one.change("p01", "psnr").over()) in rows[1]


def test_a_control_at_another_rate_is_told_with_it(tmp_path):
    run = _result(tmp_path, "mixed", terms={"l1": 1}, lr=3e-3)
    assert tables.label(Condition("l1_0.003", (run,))) == "L1 at 0.003"


def test_the_plane_has_a_point_per_treatment_and_tells_one_that_is_far_out(arm, tmp_path):
    far = [
        _result(tmp_path, "mse", seed, {"mse": 1}, {"psnr": np.full(40, 5.0), "gmsd": np.full(40, 3.0)})
        for seed in range(2)
    ]
    arm = Arm(arm.name, {**arm.conditions, ("mse", WINDOW_NETWORK): Condition("mse", tuple(far))})
    assert plane([Arm("c", {("l1", WINDOW_NETWORK): arm.runs("l1")})], ["alone"], "gmsd", ["l1"], []).axes
    (axes,) = plane([arm], ["a title"], "gmsd", ["l1", "p01", "perceptual"], ["mse", "adv"]).axes
    assert sorted(axes.get_legend_handles_labels()[1]) == [
        "L1",
        "L1 + 0.01 perceptual",
        "L1 + adversarial",
        "the true frames",
    ]
    assert [text.get_text().split(",")[0] for text in axes.texts] == ["MSE"]
    assert axes.yaxis_inverted()


def _keep(monkeypatch, root, runs):
    """Let a folder hold these runs, by their places."""
    results = [Result(root / place, run.record) for place, run in runs.items()]
    for result, run in zip(results, runs.values(), strict=True):
        result.__dict__["frames"] = run.frames
    monkeypatch.setattr("vsr_lightning.reporting.study.read_results", lambda folders: results)


def _trial(path, rate, validation=None, scores=(), checksum="test", loss="mixed", **data):
    result = _result(path, loss, lr=rate, validation={"loss": validation} if validation else {})
    result.record["scores"] = dict(scores)
    result.record["data"] = {"checksum": checksum, **data}
    return result


def test_a_rate_is_chosen_by_the_own_loss_on_held_out_videos(monkeypatch, tmp_path):
    runs = {
        f"c/tune_l1/lr{rate}": _trial(tmp_path, rate, score)
        for rate, score in ((1e-3, 0.2), (3e-3, 0.1), (1e-2, float("nan")))
    }
    tested = _result(tmp_path, data={"checksum": "test"})
    _keep(monkeypatch, tmp_path, {**runs, "c/l1/seed0": tested})
    (trials,) = read_tuning(tmp_path).values()
    assert trials == [(1e-3, 0.2), (3e-3, 0.1), (1e-2, np.inf)]
    assert best(trials).rate == best(trials_of(tmp_path, "c", "l1", WINDOW_NETWORK)).rate == 3e-3
    with pytest.raises(ValueError, match=r"has no tuning of p01 of residual_fusion_small in c: train that first"):
        trials_of(tmp_path, "c", "p01", WINDOW_NETWORK)


def test_a_rate_that_was_tested_on_other_frames_than_the_study_is_chosen_by_all_of_them(monkeypatch, tmp_path):
    runs = {"c/l1/seed0": _result(tmp_path, data={"checksum": "test"})}
    for rate, validation, tested in ((1e-3, 0.1, 0.4), (3e-3, 0.2, 0.3)):
        runs[f"c/tune_l1/lr{rate}"] = _trial(tmp_path, rate, validation, {"loss": tested}, "other frames")
    _keep(monkeypatch, tmp_path, runs)
    assert best(trials_of(tmp_path, "c", "l1", WINDOW_NETWORK)).rate == 3e-3
    runs.pop("c/l1/seed0")  # what the study tests on is not known
    _keep(monkeypatch, tmp_path, runs)
    assert best(trials_of(tmp_path, "c", "l1", WINDOW_NETWORK)).rate == 1e-3


def test_of_rates_that_are_as_good_the_smallest_is_taken():
    assert best([Trial(1e-3, 2.0), Trial(3e-3, 1.0009), Trial(1e-2, 1.0)]).rate == 3e-3
    assert best([Trial(1e-3, 1.002), Trial(3e-3, 1.0)]).rate == 3e-3
    assert best([Trial(1e-3, -1.0), Trial(3e-3, -1.0009)]).rate == 1e-3


def test_no_rate_is_the_best_where_all_diverged(monkeypatch, tmp_path):
    _keep(monkeypatch, tmp_path, {"c/tune_l1/lr1": _trial(tmp_path, 1, float("nan"))})
    with pytest.raises(ValueError, match="has no tuning of l1"):
        trials_of(tmp_path, "c", "l1", WINDOW_NETWORK)


def test_a_folder_that_is_no_studys_is_refused(monkeypatch, tmp_path):
    _keep(monkeypatch, tmp_path, {"run": _result(tmp_path)})
    with pytest.raises(ValueError, match=r"run is no CONDITION/TREATMENT/RUN: give a study's folder, as runs/findings"):
        read_study(tmp_path)


def test_an_adversarial_rate_is_chosen_by_the_patch_distance_and_never_on_test_videos(monkeypatch, tmp_path):
    loss = "mixed + adversarial"
    runs = {"c/l1/seed0": _result(tmp_path, data={"checksum": "test"})}
    for rate, on_test, held_out in ((1e-3, 1, 5), (3e-3, 2, 4)):
        runs[f"c/tune_adv/lr{rate}"] = _trial(tmp_path, rate, 0.1, {"patch_distance": on_test}, "test", loss)
        runs[f"c/tune_adv_held_out/lr{rate}"] = _trial(
            tmp_path, rate, 0.1, {"patch_distance": held_out}, "test", loss, held_out=True
        )
    _keep(monkeypatch, tmp_path, runs)
    assert best(trials_of(tmp_path, "c", "adv", WINDOW_NETWORK)).rate == 3e-3
    text = tables.rates(read_tuning(tmp_path), ["c"], WINDOW_NETWORK, {"adv": "L1 + adversarial"})
    assert "| 0.001: 5, **0.003: 4** |" in text

    apart = {place: run for place, run in runs.items() if "held_out" not in place}
    for place, run in apart.items():
        run.record["data"]["checksum"] = "test" if place == "c/l1/seed0" else "of held-out frames"
    _keep(monkeypatch, tmp_path, apart)
    assert best(trials_of(tmp_path, "c", "adv", WINDOW_NETWORK)).rate == 1e-3


def test_a_study_has_an_arm_per_condition_without_trials(monkeypatch, tmp_path):
    runs = {f"c/l1/net_seed{seed}": _result(tmp_path, seed=seed) for seed in (1, 0)}
    scored_by_the_sweep = {"c/l1/bicubic": _result(tmp_path, model="bicubic")}
    runs |= scored_by_the_sweep | {"c/truth/truth": _result(tmp_path, model="truth")}
    _keep(monkeypatch, tmp_path, {**runs, "c/tune_l1/lr1": _result(tmp_path), "d/p01/net_seed0": _result(tmp_path)})
    arms = read_study(tmp_path)
    assert {name: list(arm.conditions) for name, arm in arms.items()} == {
        "c": [("l1", WINDOW_NETWORK), ("truth", "truth")],
        "d": [("p01", WINDOW_NETWORK)],
    }
    assert [result.record["seed"] for result in arms["c"].runs("l1").results] == [0, 1]
    assert [is_trial(Path(place)) for place in ("c/tune_l1/lr1", "c/l1/net_seed0")] == [True, False]
