import json
import os
import signal

import av
import numpy as np
import pytest
import torch

from tests.support import PROCESSES
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN
from vsr_lightning.data import FrameFolders, VideoFolder
from vsr_lightning.data.real_video.video_clips import list_frames, shrunk
from vsr_lightning.degradation import Degradation
from vsr_lightning.inference import write_video

SIZE = (24, 32)
FRAMES = {"a": 12, "b": 15, "c": 30}
NETWORK = ("model=residual_fusion", "model.channels=3", "model.width=4", "model.blocks=1", "trainer.accelerator=cpu")


def _write(path, frames, size=SIZE):
    """A film of smooth noise that moves, as a codec keeps it."""
    draw = np.random.default_rng(frames)
    noise = torch.from_numpy(draw.random((1, 3, size[0] // 4 + frames, size[1] // 4), np.float32))
    large = torch.nn.functional.interpolate(noise, scale_factor=4, mode="bicubic").clamp(0, 1)[0]
    pixels = (255 * large).to(torch.uint8).movedim(0, -1).numpy()
    write_video(path, (pixels[number : number + size[0]] for number in range(frames)), 25)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    for name, frames in FRAMES.items():
        _write(root / f"{name}.mp4", frames)
    return root


@pytest.fixture
def films(made, tmp_path):
    root = tmp_path / "films"
    root.mkdir()
    for path in made.iterdir():
        (root / path.name).write_bytes(path.read_bytes())
    return root


def _data(root, **changes):
    how = {"crop": 16, "batch_size": 4, "windows_per_clip": 8, "seed": 7, "test_share": 0.4, **changes}
    return VideoFolder(Degradation(2, kernel_size=1), root, **how)


def _batches(data):
    return [*data.train_dataloader(), *data.val_dataloader(), *data.test_dataloader()]


def _equal(ones, others):
    pairs = [pair for batches in zip(ones, others, strict=True) for pair in zip(*batches, strict=True)]
    return all(one is other is None or torch.equal(one, other) for one, other in pairs)


def _decoded(path):
    """(T, H, W, 3), by FFmpeg's own choice of how exact."""
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def _names(data, numbers):
    return [data.videos.clips[number].name for number in numbers]


def test_each_file_is_split_by_share_and_both_parts_are_read_where_they_lie(films):
    data = _data(films)
    assert _names(data, data.train_videos) == ["a.mp4, frames 0 to 6", "b.mp4, frames 0 to 8", "c.mp4, frames 0 to 17"]
    assert _names(data, data.test_videos) == [
        "a.mp4, frames 7 to 11",
        "b.mp4, frames 9 to 14",
        "c.mp4, frames 18 to 29",
    ]
    for number, file in zip([*data.train_videos, *data.test_videos], "abcabc", strict=True):
        whole, clip = _decoded(films / f"{file}.mp4"), data.videos.clips[number]
        for first in (0, 2):
            read = data.videos.read(number, range(first, first + 3), (4, 2, 20, 22))
            begin = clip.frames.start + first
            assert np.array_equal(read.movedim(1, -1), whole[begin : begin + 3, 2:22, 4:20])


def test_the_end_of_each_file_may_be_left_out_as_if_it_ended_there(films):
    whole, data = _data(films), _data(films, used_share=0.9)
    assert _names(data, data.train_videos) == ["a.mp4, frames 0 to 5", "b.mp4, frames 0 to 7", "c.mp4, frames 0 to 15"]
    assert _names(data, data.test_videos) == [
        "a.mp4, frames 6 to 10",
        "b.mp4, frames 8 to 13",
        "c.mp4, frames 16 to 26",
    ]
    assert data.videos.checksum != whole.videos.checksum


def test_the_last_files_or_those_of_a_list_test(films):
    data = _data(films, test_share=None, test_videos=1)
    assert (_names(data, data.train_videos), _names(data, data.test_videos)) == (["a.mp4", "b.mp4"], ["c.mp4"])
    (films / "test.txt").write_text("b.mp4\n")
    data = _data(films, test_share=None)
    assert (_names(data, data.train_videos), _names(data, data.test_videos)) == (["a.mp4", "c.mp4"], ["b.mp4"])
    data = _data(films, test_share=None, train_videos=1)
    assert _names(data, data.train_videos) == ["a.mp4"]


@pytest.mark.parametrize("gray", [False, True])
def test_batches_from_the_cache_are_those_from_the_files(films, tmp_path, gray):
    data, cached = _data(films, gray=gray), _data(films, gray=gray, cache=tmp_path / "cache")
    expected = _batches(data)
    assert _equal(expected, _batches(cached))
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")}
    assert len(files) == 6
    assert _equal(expected, _batches(_data(films, gray=gray, cache=tmp_path / "cache", num_workers=2)))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")} == files
    assert (data.videos.name, data.videos.checksum) == (cached.videos.name, cached.videos.checksum)


def test_folders_of_frames_have_the_same_cache(films, tmp_path):
    for name in FRAMES:
        write_video(tmp_path / "frames" / name, _decoded(films / f"{name}.mp4"), 25)
    how = {"layout": "folders", "test_videos": 1, "crop": 16, "batch_size": 4, "windows_per_clip": 8}
    folders, cached = (
        FrameFolders(Degradation(2, kernel_size=1), tmp_path / "frames", cache=cache, **how)
        for cache in (None, tmp_path / "cache")
    )
    assert _equal(_batches(folders), _batches(cached))
    films = _data(films, test_share=None, test_videos=1, seed=0, flips=True)
    assert _equal(_batches(films), _batches(folders))  # the same crops, wherever the frames come from


def _read_all(root, cache, path):
    data = _data(root, cache=cache)
    for number in data.videos.clips:
        data.videos.read(number, range(1), (0, 0, 8, 8))
    path.write_text("done")


def test_one_process_makes_a_clip_and_others_wait(films, tmp_path):
    processes = [
        PROCESSES.Process(target=_read_all, args=(films, tmp_path / "cache", tmp_path / f"{n}")) for n in "123"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len([*(tmp_path / "cache").glob("*.npy")]) == 6
    assert not [*(tmp_path / "cache").glob("*.part.npy")]


def test_a_clip_that_was_not_finished_is_made_anew(films, tmp_path):
    data = _data(films, cache=tmp_path / "cache")
    data.videos.read(0, range(1), (0, 0, 8, 8))
    (path,) = (tmp_path / "cache").glob("*.npy")
    path.rename(path.with_name(f"{path.stem}.part.npy"))  # as a process leaves it that is killed before the end
    expected = data.videos.source.read(0, range(2), (0, 0, 8, 8))
    assert torch.equal(_data(films, cache=tmp_path / "cache").videos.read(0, range(2), (0, 0, 8, 8)), expected)


def test_a_file_that_changes_is_refused_and_cached_anew(films, tmp_path):
    data = _data(films, cache=tmp_path / "cache")
    before = data.videos.read(0, range(2), (0, 0, 8, 8))
    content = (films / "c.mp4").read_bytes()
    (films / "a.mp4").write_bytes((films / "b.mp4").read_bytes())
    with pytest.raises(ValueError, match=r"a\.mp4 was changed while it was in use"):
        data.videos.check_unchanged()
    assert not torch.equal(_data(films, cache=tmp_path / "cache").videos.read(0, range(2), (0, 0, 8, 8)), before)
    data = _data(films)
    (films / "c.mp4").write_bytes(content)  # the same size, and another time
    os.utime(films / "c.mp4", ns=(1, 1))
    with pytest.raises(ValueError, match=r"c\.mp4 was changed while it was in use"):
        data.videos.check_unchanged()


def test_a_run_whose_files_change_says_so_and_has_no_scores(films, vsr, tmp_path, monkeypatch):
    def touch(*_):
        os.utime(films / "a.mp4", ns=(1, 1))

    monkeypatch.setattr(StopOnNaN, "on_train_epoch_end", touch)
    with pytest.raises(SystemExit, match=r"a\.mp4 was changed while it was in use"):
        vsr("data=videos", f"data.root={films}", "data.test_share=0.4", "data.crop=16", *NETWORK,
            "trainer.max_epochs=1", "data.windows_per_clip=2", "hydra.run.dir=run", tiny=False)  # fmt: skip
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("cache", ["null", "cache"])
def test_a_run_resumes_exactly(films, vsr, tmp_path, monkeypatch, cache):
    command = ("data=videos", f"data.root={films}", "data.test_share=0.4", "data.crop=16", "data.batch_size=4",
               "data.windows_per_clip=4", f"data.cache={cache}", *NETWORK, "trainer.max_epochs=2")  # fmt: skip
    vsr(*command, "hydra.run.dir=whole", tiny=False)

    def stop(self, trainer, *_):
        if trainer.global_step == 4:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnNaN, "on_train_batch_start", stop)
        with pytest.raises(SystemExit):
            vsr(*command, "hydra.run.dir=run", tiny=False)
    vsr(*command, "resume=run", tiny=False)
    one, other = (torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True) for name in ("run", "whole"))
    assert one["global_step"] == other["global_step"] == 6
    assert all(torch.equal(one["state_dict"][key], value) for key, value in other["state_dict"].items())
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["data"]["name"].startswith("videos ")
    assert "video files in" in (tmp_path / "run/scores.md").read_text()


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_frames_shrink_by_averages_of_squares(factor):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 15, 3), np.uint8)
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(pixels).movedim(-1, 0).double(), factor).movedim(0, -1)
    np.testing.assert_array_equal(shrunk(pixels, factor), expected.round())


def test_files_shrink_by_their_own_factors(films, tmp_path):
    data = _data(films, shrink={"b": 2}, crop=8, cache=tmp_path / "cache")
    assert [clip.size for clip in data.videos.clips.values()] == [(24, 32), (12, 16), (24, 32)] * 2
    number = data.test_videos[1]
    expected = shrunk(_decoded(films / "b.mp4")[9], 2)
    assert np.array_equal(data.videos.read(number, range(1), (0, 0, 16, 12))[0].movedim(0, -1), expected)
    assert "b.mp4 2 times smaller" in data.videos.description
    assert data.videos.checksum != _data(films).videos.checksum


def _damaged(root):
    path = root / "b.mp4"
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("distort", "changes", "message"),
    [
        (None, {"root": "gone"}, r"data\.root=gone is missing: give a folder of video files"),
        (lambda root: [path.unlink() for path in root.glob("*.mp4")], {}, r"holds no video file: put some there"),
        (None, {"test_share": None}, r"has no test\.txt: say what to test on by one of data\.test_videos"),
        (None, {"test_videos": 1}, r"has no test\.txt: say what to test on by one of"),
        (None, {"test_share": 1.5}, r"data\.test_share=1\.5 is out of range"),
        (None, {"used_share": 1.1}, r"data\.used_share=1\.1 is out of range: choose more than 0 and at most 1"),
        (None, {"used_share": 0}, r"data\.used_share=0 is out of range"),
        (None, {"test_share": None, "test_videos": 3}, r"data\.test_videos=3 is out of range"),
        (
            lambda root: (root / "test.txt").write_text("d.mp4"),
            {"test_share": None},
            r"lists d\.mp4, which is no video",
        ),
        (lambda root: (root / "test.txt").write_text("a.mp4"), {}, r"data\.test_share=0\.4: .*says what tests"),
        (
            lambda root: (root / "test.txt").write_text("\n"),
            {"test_share": None},
            r"lists all files or none: name there some of them",
        ),
        (_damaged, {}, r"b\.mp4 can't be read: it is damaged, or no video"),
        (None, {"crop": 26}, r"data\.crop=26 is larger than the frames of a\.mp4, frames 0 to 6, 24x32"),
        (None, {"shrink": {"d": 2}}, r"data\.shrink\.d names no file: choose among a, b, c"),
        (None, {"shrink": 0}, r"data\.shrink=0 is out of range"),
        (None, {"shrink": {"a": 0}}, r"data\.shrink=0 is out of range"),
        (None, {"train_videos": 4}, r"data\.train_videos=4 is out of range"),
        (None, {"test_share": 0.01}, r"data\.test_share leaves none of the 12 frames of .*a\.mp4 to test on"),
        (None, {"test_share": 0.1}, r"needs 5 frames, a\.mp4, frames 11 to 11 has 1"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(films, distort, changes, message):
    if distort:
        distort(films)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        _data(**{"root": films, **changes})


def test_a_frame_that_is_missing_in_the_middle_is_named(films):
    data = _data(films)
    file = films / "c.mp4"
    assert list_frames(file, data.videos.states["c.mp4"]).length == 30
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    file.write_bytes(content)

    def read_all():
        return [data.videos.read(number, range(12), (0, 0, 8, 8)) for number in (2, 5)]

    with pytest.raises(ValueError, match=r"c\.mp4 (is damaged|can't be read)"):
        read_all()


KINDS = {
    "mp4": ("libx264", {"bf": "3", "g": "12"}),
    "m4v": ("libx264", {"bf": "3", "g": "12", "x264-params": "open-gop=1"}),
    "mov": ("libx264", {"bf": "3", "g": "250"}),
    "mkv": ("libx264", {"bf": "3", "g": "12"}),
    "avi": ("libx264", {"bf": "2", "g": "12"}),  # whose packets do not tell when their frames are shown
    "ts": ("libx264", {"bf": "3", "g": "12"}),
    "mpg": ("mpeg2video", {"bf": "2", "g": "12"}),
    "webm": ("libvpx-vp9", {"g": "12"}),
}


def test_a_file_whose_factor_is_null_need_not_be_there_and_stays_as_it_is(films):
    clips = _data(films, crop=8, shrink={"a": 2, "b": None, "gone": None}).videos.clips
    sizes = {clip.name[0]: clip.size for clip in clips.values()}
    assert (sizes["a"], sizes["b"], sizes["c"]) == ((12, 16), (24, 32), (24, 32))


@pytest.mark.parametrize("kind", KINDS)
def test_any_frames_of_any_container_are_those_of_the_whole_file(kind, tmp_path):
    """Wherever the reading begins; groups of pictures lean on others, and containers find places in their own ways."""
    codec, options = KINDS[kind]
    draw, path = np.random.default_rng(0), tmp_path / f"a.{kind}"
    large = np.kron(draw.integers(0, 256, (16, 8, 3)), np.ones((8, 6, 1))).astype(np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(large[number : number + 64]), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with av.open(str(path)) as file:
        whole = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    data = _data(tmp_path, test_share=0.5)
    clips = data.videos.clips
    assert sum(len(clip.frames) for clip in clips.values()) == len(whole) == 40
    for number, clip in clips.items():
        for first in range(len(clip.frames) - 3):
            read = data.videos.read(number, range(first, first + 4), (0, 0, 48, 64)).movedim(1, -1)
            assert np.array_equal(read, whole[clip.frames.start + first :][:4]), (number, first)
