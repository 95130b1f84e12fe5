"""Every bad input ends in one line that says what to change."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support import TINY

PUBLISHED = "data.source=published"
BAD = {
    "unknown loss": (["loss=l3"], r"Available options in 'loss': charbonnier .*mse .*ssim"),
    "unknown group": (["los=mse"], r"there is no key los: did you mean loss\?"),
    "misspelt group": (["optimiser.lr=1"], r"there is no key optimiser\.lr: did you mean optimizer\?"),
    "unknown key": (["data.videos=3"], r"there is no key data\.videos: did you mean (train|test|val)_videos\?"),
    "unknown appended key": (["+data.videos=3"], r"takes no videos: correct the key, or leave it out"),
    "unparsable": (["data.train_videos=[1"], r"\[1"),
    "negative learning rate": (["optimizer.lr=-1"], r"Invalid learning rate: -1\): change the keys of optimizer"),
    "learning rate in words": (["optimizer.lr=fast"], r"change the keys of optimizer, or optimizer\.lr"),
    "zero epochs": (["trainer.max_epochs=0"], r"trainer\.max_epochs=0 trains nothing: choose .*at least 1"),
    "nothing to score": (["trainer.limit_test_batches=0"], r"trainer\.limit_test_batches=0 leaves nothing to score"),
    "features that are no name": (["features=null", "loss=perceptual"], r"features=None is no file, nor imagenet"),
    "too many videos": (["data.train_videos=8001"], r"data\.train_videos=8001 is out of range: .* 1 to 8,000"),
    "sizes that don't fit": (["data.degradation.scale=4"], r"model\.low_res=32, data gives 16"),
    "missing data": ([PUBLISHED, "data.download=false"], r"npy is missing .*choose data\.source=generated"),
    "data out of reach": ([PUBLISHED], r"can't be reached: put the published file at .*data\.source=generated"),
    "strict paper": (["experiment=paper"], r"can't be (reached|had)"),
    "strict features": (["loss=perceptual", "features=imagenet"], r"can't be reached: put vgg19-dcbb9e9d\.pth in"),
    "missing checkpoint": (["ckpt_path=gone.ckpt"], r"ckpt_path=gone\.ckpt is missing: give last\.ckpt of a run"),
    "missing weights": (["init_from=gone.ckpt"], r"init_from=gone\.ckpt is missing: give last\.ckpt or best\.ckpt of"),
    "unwritable folder": (["hydra.run.dir=a_file/run"], r"can't write .*Not a directory.*hydra\.run\.dir"),
    "unwritable sweep folder": (["-m", "hydra.sweep.dir=a_file/sweep"], r"can't write .*Not a directory"),
    "features of a loss without": (["loss.features=random"], r"loss\.features: .*features= stands at the top"),
    "seed in words": (["seed=abc"], r"seed=abc can't be used: choose a whole number"),
    "negative seed": (["seed=-1"], r"seed=-1 can't be used: choose a whole number, at least 0"),
    "unknown preset": (["debug=all"], r"Available options in 'debug': limit one_batch overfit"),
    "lost loss": (["optimizer.lr=1e38"], r"the loss became NaN or infinite in epoch 1.*lower optimizer\.lr"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_clear_line(vsr, case, capsys, tmp_path):
    (tmp_path / "a_file").write_text("")
    args, message = BAD[case]
    # experiment=paper must not be softened by the tiny settings
    with pytest.raises(SystemExit) as end:
        vsr(*args, tiny=case != "strict paper")
    assert end.value.code.startswith("error: ")
    assert "\n" not in end.value.code
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert re.search(message, end.value.code), end.value.code


def test_a_failing_run_leaves_its_traceback_in_its_folder(vsr, tmp_path):
    with pytest.raises(SystemExit):
        vsr("optimizer.lr=-1", "hydra.run.dir=run")
    assert "Traceback" in (tmp_path / "run" / "error.txt").read_text()
    assert '"status": "failed"' in (tmp_path / "run" / "run.json").read_text()


@pytest.mark.parametrize("ask", ["variable", "debug"])
def test_the_frames_are_shown_when_asked_for(vsr, monkeypatch, capsys, ask):
    from vsr_lightning.launch.cli import run_cli

    if ask == "debug":
        with pytest.raises(SystemExit, match="train_videos"):
            vsr("debug=limit", "data.train_videos=8001")
        assert "Traceback" in capsys.readouterr().err
    else:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        monkeypatch.setattr(sys, "argv", ["train"])
        with pytest.raises(ZeroDivisionError):
            run_cli(lambda: 1 // 0)


def test_a_foreign_checkpoint_is_refused_by_name(vsr, tmp_path):
    vsr("hydra.run.dir=other", "trainer.max_epochs=1")
    with pytest.raises(SystemExit, match=r"was made by frame_fusion_fig1 and does not fit this network"):
        vsr("model.widths=[4,4]", "ckpt_path=other/checkpoints/last.ckpt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.ckpt")
    (tmp_path / "damaged.ckpt").write_bytes((tmp_path / "other/checkpoints/last.ckpt").read_bytes()[:5000])
    for name in ("foreign.ckpt", "damaged.ckpt"):
        with pytest.raises(SystemExit, match=f"ckpt_path={name} is not a checkpoint of this project, or it is damaged"):
            vsr(f"ckpt_path={name}")


def test_a_checkpoint_of_another_training_is_refused(vsr):
    vsr("hydra.run.dir=mse", "trainer.max_epochs=1")
    last = "ckpt_path=mse/checkpoints/last.ckpt"
    with pytest.raises(SystemExit, match="was trained with loss=mse, this run has perceptual: choose the same"):
        vsr(last, "loss=perceptual", "loss.layers=[relu1_1]")
    with pytest.raises(SystemExit, match=r"was trained with data\.generator_seed=0, this run has 1: choose the same"):
        vsr(last, "data.generator_seed=1")
    with pytest.raises(SystemExit, match=r"trained for 1 epoch, so trainer\.max_epochs=1 leaves none"):
        vsr(last, "trainer.max_epochs=1")


def test_a_run_can_start_from_the_weights_of_another_loss(vsr, tmp_path):
    vsr("hydra.run.dir=mse", "trainer.max_epochs=1")
    vsr("loss=perceptual", "loss.layers=[relu1_1]", "init_from=mse/checkpoints/best.ckpt", "trainer.max_epochs=1",
        "optimizer.lr=1e-30", "hydra.run.dir=run")  # fmt: skip
    start, end = (torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True) for name in ("mse", "run"))
    for key, value in start["state_dict"].items():
        torch.testing.assert_close(end["state_dict"][key], value)
    table = (tmp_path / "run" / "scores.md").read_text()
    assert "run started from weights trained on mse, 1 epoch: mse/checkpoints/best.ckpt" in table
    with pytest.raises(
        SystemExit, match=r"init_from=mse/checkpoints/last\.ckpt was made by .* does not fit this network"
    ):
        vsr("init_from=mse/checkpoints/last.ckpt", "model.widths=[4,4]")
    with pytest.raises(SystemExit, match=r"init_from=gone\.ckpt is missing"):
        vsr("init_from=gone.ckpt")
    with pytest.raises(SystemExit, match=r"init_from=mse is a folder: give last\.ckpt or best\.ckpt"):
        vsr("init_from=mse")


def test_a_run_folder_is_never_reused(vsr, tmp_path):
    vsr("hydra.run.dir=run", "trainer.max_epochs=1")
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(SystemExit, match=r"holds a run already: choose another hydra\.run\.dir"):
        vsr("hydra.run.dir=run")
    assert (tmp_path / "run" / "run.json").read_bytes() == before


@pytest.mark.parametrize("preset", ["one_batch", "limit", "overfit"])
def test_debug_presets_run(vsr, preset):
    vsr(f"debug={preset}", *(["trainer.max_epochs=1"] if preset != "one_batch" else []))


def test_help_and_config_need_no_pytorch(tmp_path):
    code = (
        "import sys, runpy\n"
        "sys.argv = ['train', *sys.argv[1:]]\n"
        "try: runpy.run_module('vsr_lightning.train', run_name='__main__')\n"
        "finally: print('torch' in sys.modules)"
    )
    for flag in (["--help"], ["--cfg", "job"]):
        out = subprocess.run(
            [sys.executable, "-c", code, *flag], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        assert out.stdout.strip().endswith("False"), out.stderr
        assert "loss" in out.stdout


@pytest.mark.slow
def test_the_command_sweeps_and_survives_a_failing_job(tmp_path):
    """The real command in a process of its own: two good jobs, one that fails, a table, exit code 1."""
    command = [sys.executable, "-m", "vsr_lightning.train", "-m", "loss=mse,perceptual", "optimizer.lr=1e-4,-1", *TINY]
    env = {**os.environ, "TORCH_HOME": str(tmp_path)}
    env.pop("HYDRA_FULL_ERROR", None)
    done = subprocess.run([*command, "hydra.sweep.dir=sweep"], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "error: 2 of the jobs failed" in done.stderr
    jobs = sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert jobs == [
        "0_frame_fusion_fig1_mse_seed0", "1_frame_fusion_fig1_mse_seed0", "2_frame_fusion_fig1_perceptual_seed0",
        "3_frame_fusion_fig1_perceptual_seed0", "bicubic", "report",
    ]  # fmt: skip
    assert "Traceback" in (tmp_path / "sweep" / jobs[1] / "error.txt").read_text()
    table = (tmp_path / "sweep" / "scores.md").read_text()
    assert all(re.search(rf"^{job} ", done.stdout, re.MULTILINE) for job in jobs[:-1])
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][2:]
    assert rows == jobs[:-1]
    assert "2 of 5 runs have no scores" in (tmp_path / "sweep" / "report" / "report.md").read_text()
    assert "scikit-learn's digits" in table
    assert "VGG-19 with random weights" in table
    assert "1_frame_fusion_fig1_mse_seed0 is failed: the optimizer can't be made" in table
    assert Path(tmp_path / "sweep" / "scores.csv").read_text().count("\n") == 6


def test_a_sweep_over_degradations_has_a_bicubic_row_for_each_and_marks_them(vsr, tmp_path):
    vsr("-m", "data.degradation.kernel_size=1,3", "trainer.max_epochs=1", "hydra.sweep.dir=sweep")
    rows = list(csv.DictReader((tmp_path / "sweep" / "scores.csv").open()))
    assert [(row["model"], row["compare"]) for row in rows] == [
        ("frame_fusion_fig1", "A"), ("frame_fusion_fig1", "B"), ("bicubic", "A"), ("bicubic", "B"),
    ]  # fmt: skip
    assert float(rows[2]["PSNR (dB)"]) > float(rows[3]["PSNR (dB)"])  # without blur it is the easier task
    assert "Do not compare" in (tmp_path / "sweep" / "scores.md").read_text()


def test_bicubic_is_scored_by_the_same_command_without_training(vsr, tmp_path):
    small = [arg for arg in TINY if not arg.startswith("model")]
    vsr("model=bicubic", *small, "hydra.run.dir=run", tiny=False)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["status"], run["model"], run["epochs"]) == ("finished", "bicubic", 0)
    assert run["scores"]["psnr"] > 15
    assert not (tmp_path / "run" / "checkpoints").exists()
