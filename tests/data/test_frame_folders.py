import csv
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vsr_lightning.data import FrameFolders
from vsr_lightning.data.loader import PlanSampler
from vsr_lightning.data.real_video import png_clips as clips
from vsr_lightning.data.real_video.crops import training_crops, transformed, whole_clips
from vsr_lightning.degradation import Degradation
from vsr_lightning.reporting.report import write_report
from vsr_lightning.runs.frames import read_frames

SIZE = (20, 28)  # height and width


def write_clip(folder, frames, size=SIZE, name="{:08d}.png", first=0):
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(zlib.crc32(folder.as_posix().encode())).integers(
        0, 256, (frames, *size, 3), np.uint8
    )
    for number, frame in enumerate(pixels, first):
        Image.fromarray(frame).save(folder / name.format(number))
    return pixels


@pytest.fixture
def reds(tmp_path):
    """REDS with eight training clips, two validation clips, of nine frames."""
    names = [f"train_sharp/{name}" for name in ("000", "001", "002", "003", "011", "012", "015", "020")]
    for name in (*names, "val_sharp/000", "val_sharp/001"):
        write_clip(tmp_path / "REDS" / name, 9)
    return tmp_path / "REDS"


@pytest.fixture
def vimeo(tmp_path):
    """Vimeo-90K with three training and two test septuplets."""
    root = tmp_path / "vimeo"
    lists = {"train": ("00001/0001", "00001/0003", "00002/0001"), "test": ("00001/0002", "00002/0002")}
    for part, names in lists.items():
        for name in names:
            write_clip(root / "sequences" / name, 7, name="im{}.png", first=1)
        (root / f"sep_{part}list.txt").write_text("\n".join(names) + "\n\n")
    return root


def _data(root, **changes):
    degradation = Degradation(changes.pop("scale", 2), kernel_size=1)
    return FrameFolders(
        degradation,
        root,
        **{"crop": 16, "batch_size": 4, "clip_batch_size": 4, "unscored_frames": 0, "seed": 7, **changes},
    )


def _pixels(root, clip, frames):
    """(T, C, H, W) uint8, read in the plainest way."""
    files = sorted((root / clip).iterdir())
    return np.stack([np.array(Image.open(files[frame])) for frame in frames]).transpose(0, 3, 1, 2)


def _epoch(data, epoch=0):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [(plan, batch) for plan, batch in zip(loader.sampler, loader, strict=True)]


def _folders(data, numbers):
    return [data.videos.clips[number].name for number in numbers]


def test_reds_keeps_four_training_clips_for_tests(reds):
    data = _data(reds)
    assert _folders(data, data.test_videos) == [f"train_sharp/{name}" for name in ("000", "011", "015", "020")]
    assert _folders(data, data.train_videos) == [f"train_sharp/{name}" for name in ("001", "002", "003", "012")]
    assert _data(reds, train_videos=2, test_videos=1, val_videos=1).val_videos == data.train_videos[1:2]


def test_the_official_split_of_reds_tests_on_its_validation_clips(reds):
    data = _data(reds, layout="reds_official")
    assert len(data.train_videos) == 8
    assert _folders(data, data.test_videos) == ["val_sharp/000", "val_sharp/001"]


def test_vimeo_follows_its_lists_and_has_the_fourth_frame_as_target(vimeo):
    for frames in (7, 5):
        data = _data(vimeo, layout="vimeo", frames=frames)
        assert _folders(data, data.train_videos) == [
            f"sequences/{n}" for n in ("00001/0001", "00001/0003", "00002/0001")
        ]
        assert data.scored == range(3, 4)
        targets = [data.on_after_batch_transfer(batch, 0).target for batch in data.test_dataloader()]
        expected = [_pixels(vimeo, f"sequences/{name}", [3]) for name in ("00001/0002", "00002/0002")]
        np.testing.assert_allclose(np.concatenate(targets), np.concatenate(expected) / 255, atol=1e-6)
        assert all((plan.start + frames // 2 == 3).all() for plan, _ in _epoch(data))


def test_any_folder_of_clips_has_lists_or_numbers(tmp_path):
    for name in ("a", "b", "c", "d"):
        write_clip(tmp_path / name, 5 + ord(name) % 4, name="frame{}.png", first=8)  # 8.png comes before 10.png
    data = _data(tmp_path, layout="folders", test_videos=1)
    assert (_folders(data, data.train_videos), _folders(data, data.test_videos)) == (["a", "b", "c"], ["d"])
    assert data.videos.clips[0].frames[:3] == ("frame8.png", "frame9.png", "frame10.png")
    assert {int(start) for epoch in range(50) for plan, _ in [next(iter(_epoch(data, epoch)))]
            for start in plan.start[plan.video == 2]} == {0, 1, 2, 3}  # clip c has eight frames  # fmt: skip
    (tmp_path / "train.txt").write_text("d\nb\n")
    (tmp_path / "test.txt").write_text("a\n")
    data = _data(tmp_path, layout="folders")
    assert (_folders(data, data.train_videos), _folders(data, data.test_videos)) == (["d", "b"], ["a"])


@pytest.mark.parametrize("takes", ["window", "clip"])
def test_training_windows_are_exact_crops_flipped_and_transposed(reds, takes):
    data, transforms = _data(reds, takes=takes, frames=3, clip_frames=3), set()
    for epoch in range(12):
        for plan, batch in _epoch(data, epoch):
            for row, (video, start, frames, _, top, left, transform) in enumerate(zip(*plan, strict=True)):
                y, x = int(top * (SIZE[0] - 16 + 1)), int(left * (SIZE[1] - 16 + 1))
                crop = _pixels(reds, *_folders(data, [video]), range(start, start + frames))[
                    ..., y : y + 16, x : x + 16
                ]
                crop = crop[..., ::-1] if transform & 1 else crop
                crop = crop[..., ::-1, :] if transform & 2 else crop
                crop = crop.swapaxes(-1, -2) if transform & 4 else crop
                assert np.array_equal(batch.frames[row], crop)
                assert np.array_equal(batch.target[row], crop[1:2] if takes == "window" else crop)
                transforms.add(int(transform))
    assert transforms == set(range(8))
    assert {int(transform) for plan, _ in _epoch(_data(reds, flips=False)) for transform in plan.transform} == {0}


def test_a_crop_is_a_pure_function_of_seed_epoch_and_clip():
    def plan(epoch=3, seed=1, clips=9, **changes):
        spans = np.array([(number, 0, 100) for number in range(clips)])
        crops = training_crops(
            epoch, **{"seed": seed, "spans": spans, "frames": 5, "windows": 2, "transforms": 8, **changes}
        )
        return {tuple(map(float, row)) for row in zip(*crops, strict=True)}

    few, many = plan(), plan(clips=240)
    assert (len(few), len(many)) == (18, 480)
    assert few < many  # the same windows of the first clips, others beside them
    assert plan() == few
    assert not plan(epoch=4) & few
    assert not plan(seed=2) & few


def test_devices_share_the_crops_of_one_device(reds):
    plan = _data(reds).train_dataloader().sampler.plan
    (alone,), *shares = (list(PlanSampler(plan, 4, rank, size)) for rank, size in ((0, 1), (0, 2), (1, 2)))
    together = [np.concatenate(columns) for columns in zip(*(share for (share,) in shares), strict=True)]
    rows = [sorted(map(tuple, zip(*columns, strict=True))) for columns in (alone, together)]
    assert rows[0] == rows[1]


def test_workers_do_not_change_the_batches(reds):
    alone, shared = (_epoch(_data(reds, num_workers=workers), 2) for workers in (0, 2))
    for (_, one), (_, other) in zip(alone, shared, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_resumed_epoch_goes_on_with_the_same_crops(reds):
    whole, loader = _epoch(_data(reds, batch_size=1), 1), _data(reds, batch_size=1, num_workers=1).train_dataloader()
    loader.load_state_dict({"epoch": 1, "batch": 2})
    loader.sampler.set_epoch(1)
    for (_, expected), batch in zip(whole[2:], loader, strict=True):
        torch.testing.assert_close(expected, batch, rtol=0, atol=0)


def test_only_the_frames_of_a_window_are_read(reds, monkeypatch):
    read = []
    original = clips.Image.open
    monkeypatch.setattr(clips.Image, "open", lambda path, **how: (read.append(path), original(path, **how))[1])
    data = _data(reds)
    assert len(read) == 8  # a header of each clip in use
    read.clear()
    next(iter(data.train_dataloader()))
    assert len(read) == 4 * 5
    read.clear()
    next(iter(data.test_dataloader()))
    assert len(set(read)) == len(read) == 9
    read.clear()
    data.test_windows(2)
    assert len(read) == 2 * 9


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("gray", [False, True])
def test_batches_have_the_colours_and_the_scale(reds, scale, gray):
    data = _data(reds, scale=scale, gray=gray)
    channels = 1 if gray else 3
    _, batch = _epoch(data)[0]
    low_res, target, *_ = data.on_after_batch_transfer(batch, 0)
    assert low_res.shape == (4, 5, channels, 16 // scale, 16 // scale)
    assert target.shape == (4, channels, 16, 16)
    test = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert test.low_res.shape == (5, 5, channels, 20 // scale, 28 // scale)
    if gray:
        expected = np.array(Image.open(reds / "train_sharp" / "000" / "00000002.png").convert("L"))
        np.testing.assert_allclose(test.target[0, 0], expected / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "scored"),
    [
        ({}, range(2, 7)),
        ({"test_frames": 2}, range(2, 7)),
        ({"takes": "clip", "clip_frames": 5}, range(9)),
        ({"takes": "clip", "clip_frames": 5, "test_frames": 4}, range(9)),
        ({"takes": "clip", "clip_frames": 5, "unscored_frames": 2, "test_frames": 2}, range(2, 7)),
        ({"takes": "clip", "clip_frames": 5, "frame_range": [1, 8], "test_frames": None}, range(1, 8)),
    ],
)
def test_a_test_has_every_scored_frame_once_as_target(reds, changes, scored):
    data = _data(reds, test_videos=2, **changes)
    loader = data.test_dataloader()
    assert data.scored == scored
    seen = []
    for plan, part in zip(loader.sampler, loader, strict=True):
        batch = data.on_after_batch_transfer(part, 0)
        video, frame = batch.video.flatten().tolist(), batch.frame.flatten().tolist()
        assert set(video) == set(plan.video)
        assert len(frame) <= (data.test_frames or 9)
        expected = _pixels(reds, *_folders(data, video[:1]), frame)
        np.testing.assert_allclose(batch.frames.numpy(), expected / 255, atol=1e-6)
        middle = data.degradation.downsample(torch.from_numpy(expected)[None])[0]
        torch.testing.assert_close(batch.select_targets(batch.low_res), middle)
        seen += zip(video, frame, strict=True)
    assert seen == [(number, frame) for number in data.test_videos for frame in scored]


def test_a_clip_has_one_blur_in_all_its_pieces():
    spans = np.array([(3, 0, 9), (5, 2, 9)])
    plan = whole_clips(0, spans=spans, margin=1, most=3)
    assert list(zip(plan.video, plan.start, plan.frames, strict=True)) == [
        (3, 0, 5), (3, 3, 5), (3, 6, 3), (5, 2, 5), (5, 5, 4)]  # fmt: skip
    assert [len(set(plan.blur_level[plan.video == video])) for video in (3, 5)] == [1, 1]
    assert len(set(plan.blur_level)) == 2


def test_validation_is_the_middle_of_each_test_clips_picture(reds):
    batches = [[data.on_after_batch_transfer(b, 0) for b in data.val_dataloader()] for data in [_data(reds)] * 2]
    (one,), (other,) = batches
    assert one.target.shape == (4, 3, 16, 16)
    assert torch.equal(one.low_res, other.low_res)
    frames = _pixels(reds, "train_sharp/000", range(9))[..., 2:18, 6:22] / 255
    assert min(np.abs(frames - one.target[0].numpy()).max((1, 2, 3))) < 1e-6


def test_what_is_looked_at_is_few_frames_of_clips_of_any_size(tmp_path):
    write_clip(tmp_path / "a", 9, (30, 24))
    write_clip(tmp_path / "b", 9, (30, 24))
    write_clip(tmp_path / "c", 30, (40, 50))
    for takes in ("window", "clip"):
        data = _data(tmp_path, layout="folders", test_videos=2, takes=takes, clip_frames=5, unscored_frames=2)
        batch = data.test_windows(2)
        assert batch.frames.shape == (10, 3, 24, 24)
        expected = _pixels(tmp_path, "b", range(2, 7))[..., 3:27, :]
        np.testing.assert_allclose(batch.frames[:5].numpy(), expected / 255, atol=1e-6)
    (tmp_path / "train.txt").write_text("b\nc\n")
    (tmp_path / "test.txt").write_text("a\n")
    with pytest.raises(ValueError, match=r"different sizes make no batch: give data\.crop, or data\.batch_size=1"):
        _epoch(_data(tmp_path, layout="folders", crop=None))


def test_a_turn_keeps_every_pixel():
    window = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    ways = [transformed(window, transform) for transform in range(8)]
    assert all(torch.equal(way.flatten().sort().values, window.flatten()) for way in ways)
    assert len({tuple(way.flatten().tolist()) for way in ways}) == 8


def test_the_checksum_tells_frames_and_split_but_not_where_they_lie(reds, tmp_path):
    data = _data(reds)
    checksum, found = data.videos.checksum, data.videos
    assert "RGB: 4 clips to train and 4 clips to test, 72 frames; the checksum is over the split" in found.description
    assert found.name == f"reds {checksum[:8]}"
    data.videos.check_unchanged()
    others = [_data(reds, **changes) for changes in ({"gray": True}, {"train_videos": 3}, {"layout": "reds_official"})]
    assert len({checksum, *(other.videos.checksum for other in others)}) == 4
    reds.rename(tmp_path / "elsewhere")
    assert _data(tmp_path / "elsewhere").videos.checksum == checksum
    Image.new("RGB", (28, 20)).save(tmp_path / "elsewhere" / "train_sharp" / "001" / "00000009.png")
    assert _data(tmp_path / "elsewhere").videos.checksum != checksum


def test_frames_that_change_while_in_use_are_refused(reds):
    data = _data(reds)
    (reds / "train_sharp" / "001" / "00000008.png").unlink()
    with pytest.raises(ValueError, match="was changed while it was in use"):
        data.videos.check_unchanged()


@pytest.mark.parametrize(
    ("distort", "changes", "message"),
    [
        (None, {"root": "gone"}, r"data\.root=gone is missing: give the folder of the set"),
        ("train_sharp/011", {}, r"the clip folder .*train_sharp/011 is missing"),
        ("train_sharp/*/*.png", {}, r"the clip folder .*train_sharp/001 holds no PNG frame"),
        (
            None,
            {"layout": "vimeo90k"},
            r"data\.layout=vimeo90k is unknown: choose one of reds, reds_official, vimeo, fo",
        ),
        (None, {"layout": "vimeo"}, r"sep_trainlist\.txt is missing, which lists one clip per line"),
        (None, {"layout": "folders"}, r"no train\.txt and test\.txt.*data\.test_videos how many of the last"),
        ("val_sharp", {"layout": "reds_official"}, r"data\.root=.* has no folder val_sharp"),
        (None, {"frames": 11}, r"data\.frames=11 needs 11 frames, train_sharp/001 has 9: choose a smaller number"),
        (None, {"takes": "clip", "clip_frames": 5, "unscored_frames": 5}, r"data\.unscored_frames=5 needs 11 frames"),
        (None, {"crop": 22}, r"data\.crop=22 is larger than the frames of train_sharp/001, 20x28: lower it"),
        (None, {"crop": 15}, r"data\.crop=15 can't be divided by data\.degradation\.scale=2"),
        (
            None,
            {"frame_range": [3, 10]},
            r"data\.frame_range=\[3, 10\] is not \[first, last \+ 1\] within the 9 frames of train_sharp",
        ),
        (None, {"train_videos": 5}, r"data\.train_videos=5 is out of range: choose a whole number, 1 to 4"),
        (None, {"test_frames": 0}, r"data\.test_frames=0 is out of range"),
        (None, {"frames": 4}, r"data\.frames=4 has no center frame"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(reds, distort, changes, message):
    if distort:
        for path in reds.glob(distort):
            path.rename(reds / f"away_{path.parent.name}_{path.name}")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        _data(**{"root": reds, **changes})


def test_a_list_that_names_an_absent_clip_or_one_twice_is_refused(vimeo):
    with (vimeo / "sep_testlist.txt").open("a") as file:
        file.write("00009/0009\n")
    with pytest.raises(FileNotFoundError, match=r"the clip folder .*sequences/00009/0009 is missing"):
        _data(vimeo, layout="vimeo")
    (vimeo / "sep_testlist.txt").write_text("00001/0001\n")
    with pytest.raises(ValueError, match=r"has sequences/00001/0001 in both parts of the split"):
        _data(vimeo, layout="vimeo")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize(
    ("layout", "file", "folder"), [("vimeo", "sep_{}list.txt", "sequences"), ("folders", "{}.txt", "")]
)
def test_a_list_is_read_in_any_common_encoding_or_named(tmp_path, encoding, layout, file, folder):
    names = {"train": "b\u00e9b\u00e9", "test": "a"}
    for part, name in names.items():
        write_clip(tmp_path / folder / name, 7)
        (tmp_path / file.format(part)).write_bytes(f"{name}\r\n".encode(encoding))
    if encoding in ("utf-16-le", "latin-1"):  # without a mark nobody knows what it is
        with pytest.raises(ValueError, match=rf"{file.format('train')} is not text in UTF-8: save it as UTF-8"):
            _data(tmp_path, layout=layout)
    else:
        data = _data(tmp_path, layout=layout)
        assert [Path(name).name for name in _folders(data, [*data.train_videos, *data.test_videos])] == [
            *names.values()
        ]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: Image.new("RGB", (30, 20)).save(path), r"00000004\.png is 20x30, the first frame there 20x28"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:200]),
            r"00000004\.png can't be read: it is missing, damaged",
        ),
        (lambda path: Image.new("I;16", (28, 20)).save(path), r"00000004\.png has more than 8 bits: convert it"),
    ],
)
def test_a_frame_that_cannot_be_used_ends_a_run_in_one_clear_line(reds, vsr, damage, message, workers):
    damage(reds / "train_sharp" / "000" / "00000004.png")
    with pytest.raises(SystemExit, match=rf"^error: /.*{message}.*") as end:
        vsr("data=frames", f"data.root={reds}", "data.crop=16", "model=bicubic", f"data.num_workers={workers}",
            "trainer.accelerator=cpu", "hydra.run.dir=run", tiny=False)  # fmt: skip
    assert "Traceback" not in str(end.value)


NETWORK = ("model=residual_fusion", "model.channels=3", "model.width=8", "model.blocks=1", "trainer.accelerator=cpu",
           "trainer.max_epochs=1", "features=random")  # fmt: skip


def test_a_sweep_on_reds_ends_with_scores_of_each_frame_and_a_report(reds, vsr, tmp_path):
    vsr("-m", *NETWORK, "loss=mse,perceptual", "data=frames", f"data.root={reds}", "data.crop=16", "data.num_workers=0",
        "module.crop_border=2", "data.test_frames=3", "module.luminance=true", "hydra.sweep.dir=sweep",
        tiny=False)  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "sweep" / "scores.csv").open()))
    told = [(row["model"], row["status"], row["compare"]) for row in rows]
    assert told == [(name, "finished", "A") for name in ("residual_fusion", "residual_fusion", "bicubic")]
    assert all(float(row["PSNR (dB)"]) > 5 for row in rows)
    scores = [read_frames(path)["temporal_error"] for path in (tmp_path / "sweep").glob("bicubic/frames.csv")]
    assert float(rows[-1]["temporal error"]) == pytest.approx(np.nanmean(scores), abs=1e-4)
    table = (tmp_path / "sweep" / "scores.md").read_text()
    assert "PSNR and SSIM: luminance only (BT.601, 16 to 235), without 2 pixels at each side" in table
    assert "Data: reds in " in table
    (run,) = (tmp_path / "sweep").glob("0_*")
    frames = list(csv.DictReader((run / "frames.csv").open()))
    assert [(row["video"], row["frame"]) for row in frames] == [(v, str(f)) for v in "0467" for f in range(2, 7)]
    assert [row["temporal_error"] == "nan" for row in frames] == 4 * [
        True,
        False,
        False,
        True,
        False,
    ]  # a piece's first frame
    page = (tmp_path / "sweep" / "report" / "report.md").read_text()
    assert "Mean over 20 frames of 20x20 pixels, from 4 test videos" in page
    assert "Left out" not in page


def test_a_run_on_vimeo_scores_the_fourth_frame_of_each_test_clip(vimeo, vsr, tmp_path):
    vsr(*NETWORK, "data=frames", f"data.root={vimeo}", "data.layout=vimeo", "data.frames=7", "data.crop=16",
        "hydra.run.dir=run", tiny=False)  # fmt: skip
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["data"]["frame_range"], run["data"]["scored"]) == ([0, 7], [3, 4])
    assert run["data"]["name"].startswith("vimeo ")
    frames = list(csv.DictReader((tmp_path / "run" / "frames.csv").open()))
    assert [(row["video"], row["frame"]) for row in frames] == [("1", "3"), ("4", "3")]
    assert run["scores"]["psnr"] == pytest.approx(np.mean([float(row["psnr"]) for row in frames]), abs=1e-4)
    write_report([tmp_path / "run"], tmp_path / "report")
    assert "Left out" not in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    ("unscored_frames", "scored"), [pytest.param(0, range(7), marks=pytest.mark.slow), (3, range(3, 4))]
)
def test_a_network_that_takes_clips_is_compared_with_bicubic_on_the_same_frames(
    vimeo, vsr, tmp_path, unscored_frames, scored
):
    vsr("-m", "model=recurrent", "model.channels=3", "model.width=4", "model.blocks=1", "model.flow_levels=1",
        "features=random", "loss=mse", "data=frames", f"data.root={vimeo}", "data.layout=vimeo", "data.clip_frames=3",
        "data.crop=16", "data.num_workers=0", f"data.unscored_frames={unscored_frames}", "trainer.accelerator=cpu",
        "trainer.max_epochs=1", "hydra.sweep.dir=sweep", tiny=False)  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "sweep" / "scores.csv").open()))
    assert [row["compare"] for row in rows] == ["A", "A"]
    assert ("temporal error" in rows[0]) == (unscored_frames == 0)  # one frame alone has none
    for path in (tmp_path / "sweep").glob("*/frames.csv"):
        frames = [(row["video"], row["frame"]) for row in csv.DictReader(path.open())]
        assert frames == [(video, str(frame)) for video in "14" for frame in scored]
    assert "Left out" not in (tmp_path / "sweep" / "report" / "report.md").read_text()


def _publish(root, layout):
    """Write low-res frames of the layout's own, which nobody could make of the sharp ones."""
    folders = {
        "reds": (root / "train_sharp", root / "train_sharp_bicubic" / "X4"),
        "reds_official": (root, root),
        "vimeo": (root / "sequences", root.parent / f"{root.name}_matlabLRx4" / "sequences"),
    }
    sharp, low = folders[layout]
    if layout == "reds_official":
        for part in ("train", "val"):
            for clip in (root / f"{part}_sharp").iterdir():
                write_clip(root / f"{part}_sharp_bicubic" / "X4" / clip.name, 9, (5, 7))
        return
    for frame in {path.parent for path in sharp.rglob("*.png")}:
        pattern, first = ("im{}.png", 1) if layout == "vimeo" else ("{:08d}.png", 0)
        count = len([*frame.iterdir()])
        write_clip(low / frame.relative_to(sharp), count, (5, 7), pattern, first)


@pytest.mark.parametrize("takes", ["window", "clip"])
@pytest.mark.parametrize("cached", [False, True])
def test_published_low_res_frames_are_taken_at_the_same_place_under_the_same_turn(reds, takes, cached, tmp_path):
    _publish(reds, "reds")
    how = {"scale": 4, "takes": takes, "clip_frames": 5, "cache": tmp_path / "cache" if cached else None}
    data = _data(reds, low_res="published", **how)
    for plan, batch in _epoch(data, 1):
        for row, (video, start, frames, _, top, left, transform) in enumerate(zip(*plan, strict=True)):
            y, x = int(top * (SIZE[0] - 16 + 1)) // 4, int(left * (SIZE[1] - 16 + 1)) // 4
            (name,) = _folders(data, [video])
            whole = range(start, start + frames)
            low = _pixels(reds, name.replace("train_sharp", "train_sharp_bicubic/X4"), whole)[..., y:, x:][..., :4, :4]
            sharp = _pixels(reds, name, whole)[..., 4 * y :, 4 * x :][..., :16, :16]
            turned = [transformed(torch.from_numpy(part.copy()), transform) for part in (low, sharp)]
            torch.testing.assert_close(batch.frames[row], turned[0] / 255)
            assert torch.equal(batch.target[row], turned[1][2:3] if takes == "window" else turned[1])
    test = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert test.low_res.shape[-2:] == (5, 7)
    assert test.frames.shape[-2:] == (20, 28)


@pytest.mark.parametrize("layout", ["reds", "reds_official", "vimeo"])
def test_published_low_res_frames_are_found_in_each_layout_and_named(layout, request):
    root = request.getfixturevalue("vimeo" if layout == "vimeo" else "reds")
    _publish(root, layout)
    data = _data(root, layout=layout, low_res="published", scale=4)
    made = _data(root, layout=layout, scale=4)
    assert data.videos.name == f"{made.videos.name}, published low-res"
    assert "low-res frames as published" in data.videos.description
    assert data.videos.checksum != made.videos.checksum
    given = 255 * next(iter(data.val_dataloader())).frames
    torch.testing.assert_close(given, given.round())


def test_only_one_sharp_frame_of_a_window_is_read_where_low_res_ones_are_published(reds, monkeypatch):
    _publish(reds, "reds")
    data, read = _data(reds, low_res="published", scale=4), []
    original = clips.Image.open
    monkeypatch.setattr(clips.Image, "open", lambda path, **how: (read.append(str(path)), original(path, **how))[1])
    next(iter(data.train_dataloader()))
    assert sum("train_sharp/" in path for path in read) == 4
    assert sum("X4" in path for path in read) == 4 * 5


@pytest.mark.parametrize(
    ("distort", "changes", "message"),
    [
        (None, {"scale": 2}, r"only data\.degradation\.scale=4 and kernel_size=1 are published"),
        (None, {"low_res": "mine"}, r"data\.low_res=mine is unknown: choose made or published"),
        ("root", {"layout": "folders", "test_videos": 1}, r"no low-res frames are known of data\.layout=folders"),
        ("gone", {}, r"the clip folder .*X4/001 is missing"),
        ("short", {}, r"X4/001 has 8 frames of 5x7, train_sharp/001 9 of \(20, 28\): they are not of"),
    ],
)
def test_published_frames_that_do_not_fit_are_one_clear_line(reds, distort, changes, message):
    _publish(reds, "reds")
    clip = reds / "train_sharp_bicubic" / "X4" / "001"
    if distort == "gone":
        clip.rename(reds / "away")
    if distort == "short":
        (clip / "00000008.png").unlink()
    root = reds / "train_sharp" if distort == "root" else reds
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        _data(root, **{"low_res": "published", "scale": 4, **changes})


@pytest.mark.parametrize("folder", ["train_sharp/001", "train_sharp_bicubic/X4/001"])
def test_frames_that_are_written_again_in_the_same_size_are_refused(reds, folder):
    _publish(reds, "reds")
    data = _data(reds, low_res="published", scale=4)
    data.videos.check_unchanged()
    os.utime(reds / folder / "00000003.png", ns=(1, 1))
    with pytest.raises(ValueError, match="was changed while it was in use"):
        data.videos.check_unchanged()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1"])
@pytest.mark.parametrize("gray", [False, True])
def test_a_part_of_a_picture_of_any_kind_is_that_of_the_whole(tmp_path, mode, gray):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 3), np.uint8)
    for clip in ("a", "b"):
        (tmp_path / clip).mkdir()
        for frame in range(5):
            Image.fromarray(pixels).convert(mode).save(tmp_path / clip / f"{frame}.png", optimize=frame % 2 == 1)
    data = _data(tmp_path, layout="folders", test_videos=1, gray=gray)
    whole = np.array(Image.open(tmp_path / "a" / "1.png").convert("L" if gray else "RGB")).reshape(20, 28, -1)
    for box in ((0, 0, 28, 20), (3, 2, 11, 7), (5, 12, 28, 20), (0, 0, 1, 1)):
        part = data.videos.read(0, range(1, 2), box)[0].movedim(0, -1)
        assert np.array_equal(part, whole[box[1] : box[3], box[0] : box[2]])
