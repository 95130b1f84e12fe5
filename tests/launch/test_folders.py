"""A command that is refused changes nothing in a folder that holds a run already."""

import json
import sys

import pytest

from tests.support import TINY
from vsr_lightning import evaluate, preferences, pretrain, train
from vsr_lightning.launch.cli import run_cli

DATA = ("data.source=generated", "data.train_videos=6", "data.test_videos=2", "trainer.accelerator=cpu")
PRETRAIN = (
    "width=0.02", "data.train_frames=32", "data.val_frames=8", "data.test_frames=8", "data.batch_size=16",
    "trainer.accelerator=cpu", "trainer.max_epochs=1",
)  # fmt: skip
COMMANDS = {
    "train": (train, TINY),
    "evaluate": (evaluate, DATA),
    "pretrain": (pretrain, PRETRAIN),
    "preferences": (preferences, ("data.source=generated", "frames=2", "features=[bundled]")),
}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture
def call(monkeypatch, tmp_path):
    def run(command, *args):
        module, small = COMMANDS[command]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [command, *small, *args])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        run_cli(module.main, command)

    return run


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """One folder that each command has run in, and one of a sweep."""
    root = tmp_path_factory.mktemp("started")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for command, (module, small) in COMMANDS.items():
            patch.setattr(sys, "argv", [command, *small, f"hydra.run.dir={command}"])
            patch.delenv("HYDRA_FULL_ERROR", raising=False)
            run_cli(module.main, command)
        patch.setattr(sys, "argv", ["train", *TINY, "-m", "trainer.max_epochs=1", "hydra.sweep.dir=sweep"])
        patch.delenv("HYDRA_FULL_ERROR", raising=False)
        run_cli(train.main)
    return root


@pytest.mark.parametrize("folder", [*COMMANDS, "sweep", "sweep/0_frame_fusion_fig1_mse_seed0", "sweep/bicubic"])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("sweep", [False, True], ids=["run", "sweep"])
def test_a_folder_that_holds_a_run_is_refused_and_left_as_it_is(folder, command, sweep, started, call):
    before = contents(started)
    args = ["-m", f"hydra.sweep.dir={started / folder}"] if sweep else [f"hydra.run.dir={started / folder}"]
    with pytest.raises(SystemExit, match="holds a run already: choose another"):
        call(command, "seed=7", *args)
    assert contents(started) == before


@pytest.mark.parametrize(
    "bad", ["optimizer.lr=-1", "trainer.devices=99", "loss=l3", "nowhere=1", "seed=abc", "trainer=ddp"]
)
def test_nor_does_an_error_leave_its_traceback_there(bad, started, call):
    before = contents(started)
    with pytest.raises(SystemExit, match="error: "):
        call("train", f"hydra.run.dir={started / 'train'}", bad)
    assert contents(started) == before


@pytest.mark.parametrize("folder", ["evaluate", "pretrain", "preferences"])
def test_the_run_of_another_command_is_not_resumed(folder, started, call):
    before = contents(started)
    with pytest.raises(SystemExit, match="holds no run of train: give a folder that does"):
        call("train", f"resume={started / folder}")
    with pytest.raises(SystemExit, match="holds no sweep of train: give a folder that does"):
        call("train", "-m", f"resume={started / folder}")
    assert contents(started) == before


@pytest.mark.parametrize("overrides", [(), ("trainer=ddp", "trainer.devices=2")], ids=["here", "processes"])
def test_a_resume_by_another_command_changes_nothing(overrides, started, call):
    before = contents(started)
    with pytest.raises(SystemExit, match=r"^error: resume: .* was started with .*: repeat its command"):
        call("train", f"resume={started / 'train'}", "optimizer.lr=0.5", *overrides)
    assert contents(started) == before


def test_a_resume_of_a_sweep_by_another_command_changes_none_of_its_runs(started, call):
    before = contents(started)
    with pytest.raises(SystemExit, match="1 of the jobs failed: 0_frame_fusion_fig1_mse_seed0"):
        call("train", "-m", f"resume={started / 'sweep'}", "trainer.max_epochs=1", "optimizer.lr=0.5")
    (said,) = started.rglob("*.error.txt")
    assert "was started with optimizer.lr=0.0001, this command has 0.5" in said.read_text()
    said.unlink()
    table = {path for path in before if path.parent.name in ("sweep", "report") and path.name != "multirun.yaml"}
    after = contents(started)
    assert {path: text for path, text in after.items() if path not in table and "figures" not in path.parts} == {
        path: text for path, text in before.items() if path not in table and "figures" not in path.parts
    }
    with pytest.raises(SystemExit, match="Could not find 'loss/l3'"):
        call("train", "-m", f"resume={started / 'sweep'}", "loss=l3")
    assert contents(started) == after


def test_a_finished_run_is_resumed_without_a_change(started, call):
    before = contents(started / "train" / ".hydra")
    assert {path.name for path in before} == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    call("train", f"resume={started / 'train'}")
    assert contents(started / "train" / ".hydra") == before
    assert json.loads((started / "train" / "run.json").read_text())["status"] == "finished"
