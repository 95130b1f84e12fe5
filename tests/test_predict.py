import sys

import numpy as np
import pytest
import torch
from PIL import Image

from vsr_lightning.cli import run_cli
from vsr_lightning.data import MovingMNIST
from vsr_lightning.degradation import Degradation
from vsr_lightning.inference import super_resolve
from vsr_lightning.pictures import to_uint8
from vsr_lightning.predict import main
from vsr_lightning.trained import load_trained
from vsr_lightning.video import read_video, write_video


@pytest.fixture
def predict(monkeypatch, tmp_path):
    """Run ``python -m vsr_lightning.predict`` in this process, from an empty folder; return that folder."""

    def call(*args):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["predict", *args, "device=cpu"])
        run_cli(main, "predict")
        return tmp_path

    return call


@pytest.fixture(scope="module")
def sharp():
    data = MovingMNIST(Degradation(), source="generated", train_videos=1, test_videos=1)
    return data.videos.frames[8000]


@pytest.fixture
def low_res(sharp):
    small = Degradation()(torch.from_numpy(sharp)[None, :, None], torch.tensor([0.5])).low_res
    return to_uint8(small[0, :, 0]).numpy()


@pytest.mark.parametrize("kind", ["npy", "png", "gif", "mp4"])
@pytest.mark.parametrize(("edges", "frames"), [("crop", 16), ("replicate", 20)])
def test_twenty_frames_of_any_kind_become_sixteen_or_twenty_of_twice_the_size(
    finished, predict, low_res, tmp_path, capsys, kind, edges, frames
):
    suffix = "" if kind == "png" else f".{kind}"
    write_video(tmp_path / f"in{suffix}", low_res, 10)
    predict(f"run={finished}", f"input=in{suffix}", f"output=made/out{suffix}", f"edges={edges}")
    back = read_video(tmp_path / "made" / f"out{suffix}")
    assert back.shape == (frames, 64, 64)
    assert capsys.readouterr().out.startswith(
        f"{frames} frames of 64x64 by frame_fusion_fig1 under perceptual, 2 epochs"
    )
    video = torch.from_numpy(low_res).float()[:, None] / 255
    expected = to_uint8(super_resolve(load_trained(finished).network(), video, 5, edges))[:, 0].numpy()
    if kind == "mp4":
        assert np.abs(back.astype(float) - expected).mean() < 2
    else:
        assert np.array_equal(back, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"in{suffix}", "made"]  # and nothing else


def test_a_sharp_video_is_degraded_first_and_shown_beside_what_came_of_it(
    finished, predict, sharp, low_res, tmp_path, capsys
):
    write_video(tmp_path / "sharp.npy", sharp, 10)
    predict(f"run={finished}", "input=sharp.npy", "output=out.npy", "degrade=true")
    write_video(tmp_path / "low.npy", low_res, 10)
    predict(f"run={finished}", "input=low.npy", "output=from_low.npy")
    ours, theirs = (np.load(tmp_path / name).astype(int) for name in ("out.npy", "from_low.npy"))
    assert np.abs(ours - theirs).max() <= 2  # the low-res file was rounded to 8 bits
    clip = Image.open(tmp_path / "out_side_by_side.gif")
    assert (clip.n_frames, clip.size) == (16, (2 * (4 * 64 + 3 * 2), 2 * 64))
    truth = read_video(tmp_path / "out_side_by_side.gif")[:, ::2, -128::2]
    assert np.array_equal(truth, sharp[2:-2])
    out = capsys.readouterr().out
    assert "bicubic: psnr 2" in out
    assert "low-res, bicubic, prediction, truth side by side: out_side_by_side.gif" in out


def test_bicubic_needs_no_run_and_takes_any_size(predict, tmp_path):
    write_video(tmp_path / "in.npy", np.random.default_rng(0).integers(0, 256, (6, 10, 14), np.uint8), 10)
    predict("input=in.npy", "output=out.npy")
    assert np.load(tmp_path / "out.npy").shape == (2, 20, 28)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["input=in.npy"], r"output= is missing: give a \.npy, \.gif or \.mp4 file, or a folder"),
        (["output=out.npy"], r"input= is missing"),
        (["input=gone.npy", "output=out.npy"], r"input=gone\.npy is missing"),
        (["input=in.npy", "output=in.npy"], r"output=in\.npy exists: choose another name"),
        (["input=in.npy", "output=out.avi"], r"output=out\.avi is of no known kind"),
        (["input=in.npy", "output=out.npy", "edges=wrap"], r"edges=wrap is unknown: choose one of crop, replicate"),
        (["input=in.npy", "output=out.npy", "degrade=true", "blur=2"], r"blur=2 is out of range"),
        (
            ["input=in.npy", "output=out.npy", "run={run}"],
            r"frames of 64x64, the network takes 32x32: a sharp video needs",
        ),
        (["input=short.npy", "output=out.npy"], r"the video has 3 frames, a window 5: give more, or edges=replicate"),
        (["input=in.npy", "output=out.npy", "model=frame_fusion"], r"a network needs its weights: give run=FOLDER"),
        (["input=in.npy", "output=out.npy", "run={run}", "data.frames=3"], r"data\.frames=3 is the run's own affair"),
        (["input=in.npy", "output=out.npy", "run=gone"], r"run=gone holds no run\.json"),
        (["input=in.npy", "output=in.npy/out.npy"], r"can't write .*choose another folder with output"),
        (["imput=in.npy", "output=out.npy"], r"there is no key imput: did you mean input\?"),
    ],
)
def test_bad_input_ends_in_one_clear_line_and_leaves_nothing(finished, predict, tmp_path, args, message):
    for name, frames in (("in", 20), ("short", 3)):
        np.save(tmp_path / f"{name}.npy", np.zeros((frames, 64, 64), np.uint8))
    with pytest.raises(SystemExit, match=message):
        predict(*(arg.format(run=finished) for arg in args))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "short.npy"]
