import json
import shutil
import sys

import numpy as np
import pytest
import torch

from tests.support import TINY, train_in
from vsr_lightning import evaluation
from vsr_lightning.evaluate import main
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.reporting.curves import read_curves
from vsr_lightning.reporting.report import write_report
from vsr_lightning.reporting.results import comparable, read_results
from vsr_lightning.runs.frames import read_frames
from vsr_lightning.runs.trained import load_run
from vsr_lightning.utils.precision import FULL, HALF, OLD_HALF

CPU = "trainer.accelerator=cpu"
DATA = [key for key in TINY if key.startswith("data.") and "test_videos" not in key]


@pytest.fixture
def evaluate(monkeypatch, tmp_path):
    """Run ``python -m vsr_lightning.evaluate`` in this process, from an empty folder; return its output folder."""

    def call(*args, to="scores"):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["evaluate", *args, CPU, f"hydra.run.dir={to}"])
        run_cli(main, "evaluate")
        return tmp_path / to

    return call


def _metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_run_is_scored_as_its_own_test_did_without_retyping_anything(finished, evaluate, capsys):
    folder = evaluate(f"run={finished}")
    own = json.loads((finished / "run.json").read_text())
    metrics = _metrics(folder)
    assert metrics["scores"] == pytest.approx(own["scores"], abs=1e-6)
    for key in ("model", "loss", "data", "features", "epochs"):
        assert metrics[key] == own[key]
    assert metrics["checkpoint"] == str(finished / "checkpoints" / "last.ckpt")
    ours, theirs = read_frames(folder / "frames.csv"), read_frames(finished / "frames.csv")
    assert all(ours[name] == pytest.approx(theirs[name], abs=1e-6, nan_ok=True) for name in theirs)
    table = (folder / "scores.md").read_text()
    assert "| run, as tested" in table
    assert "| now " in table
    assert "run, as tested" in capsys.readouterr().out


def test_a_checkpoint_carries_what_it_takes_to_score_it(finished, evaluate):
    best = finished / "checkpoints" / "best.ckpt"
    metrics = _metrics(evaluate(f"ckpt={best}"))
    assert metrics["epochs"] == torch.load(best, weights_only=True)["epoch"] + 1
    assert metrics["model"] == "frame_fusion_fig1"


def test_a_further_metric_can_be_asked_for_later(finished, evaluate):
    folder = evaluate(f"run={finished}", "metrics=fsim")
    own = json.loads((finished / "run.json").read_text())["scores"]
    scores = _metrics(folder)["scores"]
    assert scores.keys() - own.keys() == {"fsim"}
    assert "FSIM" in (folder / "scores.md").read_text()


def test_metrics_of_the_training_are_no_business_of_a_test(finished, evaluate, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    record["config"]["module"]["early_metrics"] = ["lpips"]  # whose weights are not here
    (tmp_path / "run/run.json").write_text(json.dumps(record))
    assert _metrics(evaluate("run=run"))["scores"] == pytest.approx(record["scores"], abs=1e-6)


def test_other_data_can_be_chosen_and_are_named(finished, evaluate, published_root):
    with pytest.raises(SystemExit, match="can't be reached"):
        evaluate(f"run={finished}", "data.source=published", "data.root=nowhere")
    folder = evaluate(f"run={finished}", "data.source=published", f"data.root={published_root}", to="there")
    metrics = _metrics(folder)
    assert metrics["data"]["name"].startswith("file ")
    assert metrics["data"]["test_videos"] == 2  # as the run had it
    table = (folder / "scores.md").read_text()
    assert "B is apart from A because of: data file" in table
    assert "data.source=published" in table


def test_a_run_is_scored_on_your_own_file(finished, evaluate, tmp_path):
    np.save(tmp_path / "own.npy", np.random.default_rng(0).integers(0, 256, (3, 7, 64, 64), np.uint8))
    metrics = _metrics(evaluate(f"run={finished}", "data=video_file", "data.path=own.npy", "data.test_videos=2"))
    assert metrics["data"]["name"].startswith("own.npy ")
    assert metrics["data"]["test_videos"] == 2


def test_keys_of_the_runs_own_data_can_be_changed(vsr, evaluate, tmp_path):
    videos = np.random.default_rng(0).integers(0, 256, (2, 3, 7, 64, 64), np.uint8)
    for name, array in zip(("one", "other"), videos, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    given = ("data=video_file", "data.train_videos=1", "data.test_videos=2", "model=bicubic", CPU)
    vsr(*given, "data.path=one.npy", "hydra.run.dir=run", tiny=False)
    metrics = _metrics(evaluate("run=run", "data.path=other.npy", "data.test_videos=1"))
    assert (metrics["data"]["name"][:10], metrics["data"]["test_videos"]) == ("other.npy ", 1)
    assert metrics["overrides"][-2:] == ["data.path=other.npy", "data.test_videos=1"]


def test_a_run_is_scored_anew_on_its_luminance_inside_a_border(finished, evaluate):
    folder = evaluate(f"run={finished}", "module.luminance=true", "module.crop_border=8")
    own, metrics = json.loads((finished / "run.json").read_text()), _metrics(folder)
    assert own["scoring"] == {"luminance": False, "crop_border": 0}
    assert metrics["scoring"] == {"luminance": True, "crop_border": 8}
    assert metrics["scores"]["psnr"] != pytest.approx(own["scores"]["psnr"], abs=1e-3)
    assert metrics["scores"]["psnr_eq2"] == pytest.approx(own["scores"]["psnr_eq2"], abs=1e-5)
    table = (folder / "scores.md").read_text()
    assert "PSNR and SSIM: luminance only (BT.601, 16 to 235), without 8 pixels at each side" in table
    assert "B is apart from A because of: PSNR and SSIM of luminance only" in table


def test_bicubic_needs_no_run(evaluate):
    metrics = _metrics(evaluate("data.source=generated", "data.train_videos=1", "data.test_videos=2"))
    assert (metrics["model"], metrics["loss"]) == ("bicubic", "")
    assert metrics["scores"]["psnr"] > 15


@pytest.mark.parametrize("model", ["residual_fusion", "frame_fusion_fig1", "recurrent", "basicvsr"])
def test_a_network_is_recorded_under_its_name_in_conf(model, evaluate, tmp_path):
    with pytest.raises(SystemExit, match="a network's scores need its weights"):
        evaluate(f"model={model}", "model.width=8" if "fusion_" not in model else "seed=0")
    assert _metrics(tmp_path / "scores")["model"] == model


def test_the_network_of_a_run_is_the_one_that_was_trained(finished):
    trained = load_run(finished)
    assert trained.epochs == 2
    network = trained.network()
    for name, value in network.state_dict().items():
        assert torch.equal(value, trained.weights[f"model.{name}"])
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run=gone"], r"run=gone holds no run\.json: give the folder of one run"),
        (["ckpt=gone.ckpt"], r"ckpt=gone\.ckpt is missing"),
        (["run={run}", "ckpt={run}/checkpoints/last.ckpt"], r"give run=FOLDER .* or ckpt=FILE, one of them"),
        (["run={run}", "loss=mse"], r"loss= is given by the run"),
        (["model=frame_fusion"], r"a network's scores need its weights: give run=FOLDER or ckpt=FILE"),
        (["run={run}", "data.degradation.scale=4"], r"model\.low_res=32, data gives 16"),
        (
            ["run={run}", "module.crop_border=-1"],
            r"module\.crop_border=-1 is out of range: choose a whole number, at least 0",
        ),
        (["run={run}", "module.luminance=y"], r"module\.luminance=y is unknown: choose true or false"),
        (["run={run}", "data.tets_videos=1"], r"error: \w+ takes no tets_videos: correct the key, or leave it out"),
        (["run={run}", "module.boarder=1"], r"error: \w+ takes no boarder: correct the key, or leave it out"),
        (["rum={run}"], r"there is no key rum: did you mean run\?"),
    ],
)
def test_bad_input_ends_in_one_clear_line(finished, evaluate, args, message):
    with pytest.raises(SystemExit, match=message):
        evaluate(*(arg.format(run=finished) for arg in args))


@pytest.mark.parametrize(
    ("trained", "fast", "gpu", "expected"),
    [
        (HALF, HALF, False, HALF),
        (HALF, FULL, False, FULL),
        (HALF, OLD_HALF, True, FULL),
        (OLD_HALF, HALF, True, OLD_HALF),
        (OLD_HALF, HALF, False, FULL),
        (FULL, HALF, True, FULL),
    ],
)
def test_half_precision_is_scored_in_where_the_device_is_fast_in_it(trained, fast, gpu, expected, monkeypatch, caplog):
    monkeypatch.setattr(evaluation, "fast_precision", lambda accelerator: fast)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert evaluation._as_fast(trained, "auto") == expected
    said = f"trained in {trained}, scored in {expected}, since the former is not fast here: trainer.precision={trained}"
    assert (said in caplog.text) == (trained != expected)


def test_evaluations_are_reported_as_the_runs_that_they_score_again(vsr, monkeypatch, tmp_path, no_report):
    """One row per training, under its own loss and seed, with the scores of today's test."""
    vsr("-m", "loss=mse,l1", "seed=0,1", "trainer.max_epochs=1", "hydra.sweep.dir=sweep")
    runs = sorted(path.parent for path in tmp_path.glob("sweep/*/run.json") if path.parent.name != "bicubic")
    named = ",".join(map(str, runs))
    chosen = ("metrics=fsim", "data.test_videos=3", CPU)
    train_in(tmp_path, "-m", f"run={named}", *chosen, "hydra.sweep.dir=again", command="evaluate")
    train_in(tmp_path, "model=bicubic", *DATA, *chosen, "hydra.run.dir=again/bicubic", command="evaluate")
    (group,) = comparable(read_results([tmp_path / "again"]))
    assert [condition.label for condition in group.conditions] == ["mse", "l1", "bicubic"]
    assert [len(condition.scores("fsim")) for condition in group.conditions] == [2, 2, 1]
    scored = group.conditions[0].results[0]
    assert scored.record["data"]["test_videos"] == 3
    assert scored.run in runs
    assert (scored.record["seed"], scored.record["loss"]) == (0, "mse")
    assert read_curves(scored.run, ("train/loss",))
    page = write_report([tmp_path / "again"], tmp_path / "page").read_text(encoding="utf-8")
    assert "FSIM" in page
    assert "holds no" not in page


def test_held_out_videos_can_be_scored_to_choose_by_and_are_not_compared_with_the_test(vsr, evaluate, tmp_path):
    run = vsr("data.val_videos=3", "hydra.run.dir=run") / "run"
    folder = evaluate(f"run={run}", "held_out=true")
    assert set(read_frames(folder / "frames.csv")["video"]) == {3, 4, 5}
    assert "test videos 3 held out instead of 2" in (folder / "scores.md").read_text()
    vsr("hydra.run.dir=all")
    with pytest.raises(SystemExit, match="holds no video out"):
        train_in(tmp_path, "run=all", "held_out=true", CPU, "hydra.run.dir=refused", command="evaluate")
