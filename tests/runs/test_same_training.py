"""What makes two runs the same training: a run that was moved goes on, a command of another run is refused."""

import contextlib
import json
import signal
import sys

import numpy as np
import pytest
import torch

from tests.support import TINY
from vsr_lightning import experiment
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.runs import provenance, record
from vsr_lightning.runs.comparable import comparison_key, first_difference, training_key
from vsr_lightning.train import main

CONFIG = {
    "seed": 0,
    "output_dir": "runs/a",
    "data": {"root": "data", "train_videos": 6, "degradation": {"scale": 2}},
    "model": {"_target_": "vsr_lightning.models.Deformable", "features": 1},
    "loss": {"losses": {"perceptual": {"features": "bundled", "layers": "all"}}},
    "trainer": {"max_epochs": 2, "precision": "32-true", "devices": 1, "plugins": [{"_target_": "a"}]},
    "module": {"crop_border": 0, "early_metrics": ["haarpsi"], "metrics": {"fsim": {"_target_": "piq.fsim"}}},
    "callbacks": {"last": {"dirpath": "runs/a/checkpoints"}},
    "logger": {"tensorboard": {"save_dir": "runs/a"}},
}


def test_only_what_changes_the_training_counts():
    assert training_key(CONFIG) == {
        "seed": 0,
        "data.train_videos": 6,
        "data.degradation.scale": 2,
        "model._target_": "vsr_lightning.models.Deformable",
        "model.features": 1,  # a number of blocks, not the loss's features
        "loss.losses.perceptual.layers": "all",
        "module.crop_border": 0,
        "trainer.max_epochs": 2,
        "trainer.precision": "32-true",
    }


def test_a_loss_that_joins_the_others_later_does_not_make_another_training():
    before = {"loss": {"terms": {"mse": 1}, "losses": {"mse": {"_target_": "a"}}}}
    after = {"loss": {"terms": {"edge": 0, "mse": 1}, "losses": {"edge": {"reach": 1}, "mse": {"_target_": "a"}}}}
    assert training_key(before) == training_key(after) == {"loss.terms.mse": 1, "loss.losses.mse._target_": "a"}
    after["loss"]["terms"]["edge"] = 0.1
    assert training_key(after)["loss.losses.edge.reach"] == 1


@pytest.mark.parametrize("part", ["data", "features", "init_from"])
def test_files_are_compared_by_their_contents_where_both_are_known(part):
    def record(checksum):
        return {"config": CONFIG, part: {"name": "a", "checksum": checksum}}

    assert first_difference(record("1"), record("2")) == (f"{part}.checksum", "1", "2")
    assert first_difference(record("1"), record("1")) is None
    assert first_difference(record("1"), {"config": CONFIG, part: None}) is None


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Run the command in a folder, to its end or until a signal comes in the third epoch of the run named ``stop``."""

    def call(*overrides, cwd=tmp_path, stop=""):
        def send(self, trainer, *_):
            if trainer.current_epoch == 2 and stop in trainer.checkpoint_callback.dirpath:
                signal.raise_signal(signal.SIGTERM)

        with monkeypatch.context() as patch, pytest.raises(SystemExit) if stop else contextlib.nullcontext() as end:
            patch.chdir(cwd)
            patch.delenv("HYDRA_FULL_ERROR", raising=False)  # which the command itself sets
            patch.setattr(sys, "argv", ["train", *overrides])
            if stop:
                patch.setattr(StopOnNaN, "on_train_batch_start", send)
            run_cli(main)
        assert not stop or end.value.code == 128 + signal.SIGTERM

    return call


FOUR = (*TINY, "trainer.max_epochs=4", "optimizer.lr=0.05")  # at this rate the last epoch is not the best one


def _record(folder):
    return json.loads((folder / "run.json").read_text())


def _assert_equal_ends(moved, whole):
    assert _record(moved)["status"] == "finished"
    assert _record(moved)["scores"] == _record(whole)["scores"]
    assert (moved / "frames.csv").read_bytes() == (whole / "frames.csv").read_bytes()
    for name in ("last", "best"):
        a, b = (torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True) for run in (moved, whole))
        assert a["global_step"] == b["global_step"]
        assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in b["state_dict"])


def test_a_run_whose_folder_was_moved_goes_on_as_if_it_was_not(train, tmp_path):
    train(*FOUR, "hydra.run.dir=whole")
    best = torch.load(tmp_path / "whole/checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] < 2, "the best epoch has to be one before the move, or this test can't fail"
    train(*FOUR, "hydra.run.dir=run", stop="run")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    train(*FOUR, "resume=elsewhere")
    _assert_equal_ends(tmp_path / "elsewhere", tmp_path / "whole")
    assert not (tmp_path / "run").exists()


def _own_videos(root):
    """Save videos in a folder; return the overrides of a small training on them, from the weights of an earlier one."""
    root.mkdir()
    np.save(root / "my.npy", np.random.default_rng(0).integers(0, 256, (6, 8, 64, 64), np.uint8))
    return lambda place: (
        "data=video_file", f"data.path={place}my.npy", "data.train_videos=4", "data.test_videos=2", "data.batch_size=2",
        "model=frame_fusion_fig1", "model.widths=[2,4]", "trainer.accelerator=cpu", "trainer.max_epochs=3",
        f"init_from={place}first/checkpoints/last.ckpt",
    )  # fmt: skip


@pytest.mark.parametrize("absolute", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_working_folder_that_was_moved_with_its_data_goes_on(absolute, train, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    command = _own_videos(old)
    here, there = (f"{root}/" if absolute else "" for root in (old, new))
    train(*command(here), "init_from=null", "trainer.max_epochs=1", "hydra.run.dir=first", cwd=old)
    train(*command(here), "hydra.run.dir=whole", cwd=old)
    train(*command(here), "hydra.run.dir=run", cwd=old, stop="run")
    old.rename(new)
    train(*command(there), "resume=run", cwd=new)
    _assert_equal_ends(new / "run", new / "whole")
    assert not old.exists()


def test_a_sweep_whose_folder_was_moved_goes_on_as_if_it_was_not(train, tmp_path, no_report):
    old, new = tmp_path / "old", tmp_path / "new"
    command = _own_videos(old)
    sweep = ("init_from=null", "seed=0,1")
    train("-m", *command(f"{old}/"), *sweep, "hydra.sweep.dir=whole", cwd=old)
    train("-m", *command(f"{old}/"), *sweep, "hydra.sweep.dir=sweep", cwd=old, stop="sweep/1_")
    old.rename(new)
    (new / "sweep").rename(new / "elsewhere")
    for saved in (new / "elsewhere").glob("*/.hydra/config.yaml"):  # as if names had changed since
        saved.write_text(saved.read_text().replace("crop_border", "border"))
    train("-m", *command(f"{new}/"), *sweep, "resume=elsewhere", cwd=new)
    first, second, bicubic = sorted(path.parent.name for path in (new / "whole").glob("*/run.json"))
    for name in (first, second):
        _assert_equal_ends(new / "elsewhere" / name, new / "whole" / name)
    assert _record(new / "elsewhere" / bicubic)["scores"] == _record(new / "whole" / bicubic)["scores"]
    assert not old.exists()


# what a run leaves in its folder, except its log
LEFT = (
    "run.json",
    ".hydra/config.yaml",
    ".hydra/overrides.yaml",
    "checkpoints/last.ckpt",
    "checkpoints/best.ckpt",
    "frames.csv",
)


def test_a_command_of_another_run_is_refused_and_changes_nothing(train, tmp_path):
    videos = np.random.default_rng(0).integers(0, 256, (6, 8, 64, 64), np.uint8)
    np.save(tmp_path / "my.npy", videos)
    own = ("data=video_file", "data.path=my.npy", *(item for item in FOUR if item != "data.source=generated"),
           "loss=perceptual", "loss.layers=[relu1_1]", "data.train_videos=4")  # fmt: skip
    train(*own, "hydra.run.dir=run", stop="run")
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "my.npy", 255 - videos)  # under the same name, so that only its contents tell
    run = tmp_path / "run"
    before = {path: path.read_bytes() for path in run.rglob("*") if str(path.relative_to(run)) in LEFT}
    for changes, message in {
        ("optimizer.lr=0.01",): r"was started with optimizer\.lr=0\.05, this command has 0\.01",
        ("seed=1",): r"was started with seed=0, this command has 1",
        ("trainer.max_epochs=9",): r"was started with trainer\.max_epochs=4, this command has 9",
        ("trainer.precision=bf16-mixed",): r"was started with trainer\.precision=32-true, this command has bf16-mixed",
        ("loss.layers=[relu1_2]",): r"was started with loss\.layers=\['relu1_1'\], this command has \['relu1_2'\]",
        ("data.path=other/my.npy",): r"was started with other data \(checksum \w{12}, now \w{12}\): give what",
        ("features=bundled",): r"was started with other features \(checksum \w{12}, now \w{12}\): give what",
    }.items():
        with pytest.raises(SystemExit, match=message):
            train(*own, *changes, "resume=run")
        assert {path: path.read_bytes() for path in before} == before
    train(*own, "resume=run", "trainer.log_every_n_steps=5", "callbacks.progress_bar=null", "logger=[csv,tensorboard]")
    assert _record(run)["status"] == "finished"


def test_a_resume_under_other_code_or_packages_keeps_both_and_says_so_once(train, tmp_path, monkeypatch, capsys):
    def environment(commit, torch_version):
        return {
            "git": {"commit": commit, "dirty": False},
            "versions": {"torch": torch_version, "numpy": "2"},
            "platform": "here",
        }

    def use(*args):
        for module in (provenance, record, experiment):
            monkeypatch.setattr(module, "environment", lambda: environment(*args))

    use("a" * 40, "2.1")
    train(*FOUR, "hydra.run.dir=run", stop="run")
    train(*FOUR, "resume=run", stop="run")
    assert "resumed" not in _record(tmp_path / "run")
    capsys.readouterr()
    use("b" * 40, "2.2")
    train(*FOUR, "resume=run")
    run = _record(tmp_path / "run")
    assert (run["git"]["commit"], run["versions"]["torch"]) == ("a" * 40, "2.1")
    assert run["resumed"] == [environment("b" * 40, "2.2")]
    assert comparison_key(run)["commit"] == "aaaaaaaa, then bbbbbbbb"
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "goes on under other code" in line)
    assert f"git.commit {'a' * 40} before, {'b' * 40} now; versions.torch 2.1 before, 2.2 now" in line
    kept = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["provenance"]
    assert (kept["git"], kept["resumed"]) == (run["git"], run["resumed"])


def test_a_run_that_saved_nothing_starts_over_and_names_the_code_that_trained_it(train, tmp_path, monkeypatch):
    train(*FOUR, "hydra.run.dir=run", stop="run")
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.unlink()
    run = _record(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(
        json.dumps(run | {"git": {"commit": "older", "dirty": False}, "earlier_s": 1000})
    )
    train(*FOUR, "resume=run")
    assert _record(tmp_path / "run")["wall_time_s"] < 1000
    assert _record(tmp_path / "run")["git"] == run["git"]
    assert "resumed" not in _record(tmp_path / "run")
