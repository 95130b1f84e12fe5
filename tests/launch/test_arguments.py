"""What a person may type: flags anywhere, paths without quotes, any terminal."""

import io
import shutil
import sys

import numpy as np
import pytest
import yaml

from vsr_lightning import evaluate, findings, predict, preferences, pretrain, report, train
from vsr_lightning.launch.arguments import Arguments
from vsr_lightning.launch.cli import run_cli

COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict, "pretrain": pretrain, "preferences": preferences}


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run a command by its name in this process; return what it printed."""

    def run(command, *args):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [command, *args])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        run_cli(COMMANDS[command].main, command)
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_knows_the_launcher_that_uses_the_whole_machine(command, call):
    out = call(command, "hydra/launcher=cores", "--cfg", "hydra", "--resolve", "--package", "hydra.launcher.n_jobs")
    assert int(out.split()[-1]) >= 1


@pytest.mark.parametrize(
    ("typed", "flags", "overrides"),
    [
        ("a=1 -m b=1,2", "-m", "a=1 b=1,2"),
        ("a=1 -cn other b=1 -m", "-cn other -m", "a=1 b=1"),
        ("a=1 --config-dir x=y b=1 --cfg job ~c", "--config-dir x=y --cfg job", "a=1 b=1 ~c"),
        ("a=1 --package=a.b -c all b=1", "--package=a.b -c all", "a=1 b=1"),
        ("-m a=1", "-m", "a=1"),
        ("", "", ""),
    ],
)
def test_flags_may_stand_anywhere(typed, flags, overrides):
    arguments = Arguments.parse(typed.split(), "train")
    assert (arguments.flags, arguments.overrides) == (flags.split(), overrides.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_flag_between_the_overrides_is_understood(command, call):
    assert "seed: 3" in call(command, "seed=3", "--cfg", "job", "data.num_workers=0")


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("épée/v.npy", "épée/v.npy"),
        ("x=1/v.npy", "x=1/v.npy"),
        ("~/x.npy", "/home/somebody/x.npy"),
        ("~", "/home/somebody"),
        ("it's/v.npy", "it's/v.npy"),
        ("back\\slash'/é\\", "back\\slash'/é\\"),
        ("clip (1).mp4", "clip (1).mp4"),
        ("a: b; #1 & 50 %!.npy", "a: b; #1 & 50 %!.npy"),
        ("視頻.npy", "視頻.npy"),
        ("'quoted=1.npy'", "quoted=1.npy"),
        ("plain/v.npy", "plain/v.npy"),
    ],
)
@pytest.mark.parametrize("key", ["predict input", "evaluate +data.root", "train init_from", "train ckpt_path"])
def test_any_path_can_be_typed(key, typed, value, call, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    command, key = key.split()
    key = key.lstrip("+")
    cfg = yaml.safe_load(call(command, f"{key}={typed}", "--cfg", "job"))
    for part in key.split("."):
        cfg = cfg[part]
    assert cfg == value


@pytest.mark.parametrize("typed", ["[x.npy", "{x", "'x"])
def test_what_can_be_no_path_ends_in_a_line_that_says_how_to_quote(typed, call):
    with pytest.raises(SystemExit) as end:
        call("predict", f"input={typed}", "output=y.npy")
    assert end.value.code.startswith(f"error: input={typed} can't be read: ")
    assert f"input='{typed}'" in end.value.code
    assert "\n" not in end.value.code


def test_a_sweep_over_paths_stays_a_sweep():
    assert Arguments.parse(["-m", "init_from=é,x=1,c"], "train").overrides == ["init_from='é','x=1',c"]
    assert Arguments.parse(["init_from=é,x"], "train").overrides == ["init_from='é,x'"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_no_output_ends_a_run(encoding, vsr, monkeypatch, tmp_path):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding=encoding, write_through=True))
    vsr("trainer.max_epochs=1", "hydra.run.dir=視頻/é")
    assert (tmp_path / "視頻/é/scores.md").exists()
    assert b"PSNR" in printed.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_no_output_ends_a_report_or_a_prediction(encoding, call, finished, monkeypatch, tmp_path):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding=encoding, write_through=True))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", str(finished), "--output", "報告"])
    report.main()
    shutil.copytree(finished, tmp_path / "study/c/l1/run")
    for name in ("頁.md.jinja", "R.md"):
        (tmp_path / name).write_text("nothing to fill")
    monkeypatch.setattr(sys, "argv", ["findings", "study", "--page", "頁.md", "--readme", "R.md", "--kept", "無"])
    findings.main()
    np.save("v.npy", np.zeros((5, 32, 32), np.uint8))
    call("predict", "input=v.npy", "output=視頻.npy")
    assert (tmp_path / "報告/index.html").exists()
    assert (tmp_path / "視頻.npy").exists()
    assert printed.getvalue().count(b"?") >= 2
