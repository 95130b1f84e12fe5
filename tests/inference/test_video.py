import os
import struct

import av
import numpy as np
import pytest
from PIL import Image

from vsr_lightning.inference import open_video, read_video, write_video


def _digits(frames=20, height=64, width=64):
    """Something that moves, and stands still for three frames."""
    y, x = np.mgrid[:height, :width]
    clip = [127.5 + 127.5 * np.sin((x + 3 * t) / 5) * np.cos(y / 7) for t in range(frames)]
    clip[5:8] = clip[5:6] * len(clip[5:8])
    return np.stack(clip).round().astype(np.uint8)


@pytest.mark.parametrize("name", ["clip.npy", "frames", "clip.gif"])
@pytest.mark.parametrize("size", [(64, 64), (33, 20)])
def test_a_round_trip_is_exact_and_keeps_frames_that_stand_still(tmp_path, name, size):
    frames = _digits(20, *size)
    write_video(tmp_path / name, frames, 10)
    back = read_video(tmp_path / name)
    assert back.dtype == np.uint8
    assert np.array_equal(back, frames)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("size", [(64, 64), (33, 20)])
def test_mp4_keeps_every_frame_nearly_as_it_was(tmp_path, size):
    frames = _digits(20, *size)
    write_video(tmp_path / "clip.mp4", frames, 12.5)
    back = read_video(tmp_path / "clip.mp4")[:, : size[0], : size[1]]  # an odd size is padded by a row or column
    assert back.shape == frames.shape
    assert np.abs(back.astype(float) - frames).mean() < 2


def test_frames_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 2):
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / f"frame{number}.png")
    assert read_video(tmp_path)[:, 0, 0].tolist() == [2, 9, 10]


def _colours(frames=20, height=64, width=64):
    """Red, green and blue that move, and stand still for three frames."""
    gray = _digits(frames, height, width)
    return np.stack([gray, gray[:, ::-1], gray[:, :, ::-1]], axis=-1)


@pytest.mark.parametrize("name", ["clip.npy", "frames"])
@pytest.mark.parametrize("size", [(64, 64), (33, 20)])
def test_colour_is_kept_exactly(tmp_path, name, size):
    frames = _colours(20, *size)
    assert write_video(tmp_path / name, iter(frames), 10) == frames.shape
    assert np.array_equal(read_video(tmp_path / name), frames)


@pytest.mark.parametrize("size", [(64, 64), (33, 20)])
def test_a_palette_keeps_every_frame_nearly_as_it_was(tmp_path, size):
    frames = _colours(20, *size)
    write_video(tmp_path / "clip.gif", frames, 10)
    back = read_video(tmp_path / "clip.gif")
    assert back.shape == frames.shape
    assert np.abs(back.astype(float) - frames).mean() < 8


@pytest.mark.parametrize("size", [(64, 64), (33, 20), (720, 32)])  # HD has other coefficients
def test_mp4_keeps_colours_that_stretch_over_pixels(tmp_path, size):
    blocks = np.random.default_rng(0).integers(0, 256, (1, -(-size[0] // 16), -(-size[1] // 16), 3), np.uint8)
    frames = blocks.repeat(5, 0).repeat(16, 1).repeat(16, 2)[:, : size[0], : size[1]]
    write_video(tmp_path / "clip.mp4", frames, 10)
    back = read_video(tmp_path / "clip.mp4")[:, : size[0], : size[1]]
    inner = np.abs(back.astype(float) - frames)[:, 4:12, 4:12]
    assert inner.mean() < 3


def test_hd_that_does_not_name_its_colours_is_taken_for_hd(tmp_path):
    color = np.array([200, 60, 30], np.uint8)
    with av.open(tmp_path / "clip.mp4", "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 720, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((720, 64, 3), color), format="rgb24")
        file.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        file.mux(stream.encode())
    assert np.abs(read_video(tmp_path / "clip.mp4")[0, 0, 0].astype(int) - color).max() <= 4


def test_an_mp4_of_a_phone_held_upright_is_turned(tmp_path):
    frames = np.zeros((3, 32, 64), np.uint8)
    frames[:, :16, :16] = 255
    write_video(tmp_path / "clip.mp4", frames, 10)
    content = bytearray((tmp_path / "clip.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)
    (tmp_path / "clip.mp4").write_bytes(content)
    back = read_video(tmp_path / "clip.mp4")
    assert open_video(tmp_path / "clip.mp4").shape == (64, 32, 1)
    assert back.shape[1:] == (64, 32)
    assert back[0, 8, 24] > 250  # what was at the top left
    assert back[0, 8, 8] < 5


@pytest.mark.parametrize("name", ["clip.gif", "clip.mp4", "frames"])
def test_a_video_that_begins_in_black_is_in_colour(tmp_path, name):
    frames = _colours(6)
    frames[:3] = 0
    write_video(tmp_path / name, frames, 10)
    video = open_video(tmp_path / name)
    assert video.shape == (64, 64, 3)
    assert next(iter(video)).pixels.shape == (64, 64, 3)


def test_grey_png_frames_among_coloured_ones_become_coloured(tmp_path):
    Image.new("L", (4, 4), 7).save(tmp_path / "1.png")
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "2.png")
    assert read_video(tmp_path)[:, 0, 0].tolist() == [[7, 7, 7], [255, 0, 0]]


def test_a_palette_of_greys_is_grey(tmp_path):
    Image.fromarray(_digits(1)[0]).convert("P").save(tmp_path / "1.png")
    assert open_video(tmp_path).shape == (64, 64, 1)


@pytest.mark.parametrize("fps", [10, 12.5, 30, 30000 / 1001])
@pytest.mark.parametrize(("name", "exact"), [("clip.gif", 0.02), ("clip.mp4", 1e-6)])
def test_frames_a_second_are_known(tmp_path, name, exact, fps):
    write_video(tmp_path / name, _digits(), fps)
    assert open_video(tmp_path / name).format.fps == pytest.approx(
        fps, rel=exact
    )  # a GIF counts hundredths of a second


@pytest.mark.parametrize("name", ["clip.npy", "frames", "clip.gif", "clip.mp4"])
def test_the_length_is_known_before_the_frames_are_read(tmp_path, name):
    write_video(tmp_path / name, _digits(7), 10)
    assert open_video(tmp_path / name).length == 7


def test_float_frames_are_read_as_they_are(tmp_path):
    frames = np.random.default_rng(0).random((3, 4, 5, 3), np.float32)
    np.save(tmp_path / "clip.npy", frames)
    assert np.array_equal(read_video(tmp_path / "clip.npy"), frames)


def test_frames_that_are_no_pictures_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"frames of \(64, 64, 5\) can't be written: give \(H, W\), gray, or"):
        write_video(tmp_path / "made" / "clip.gif", _digits()[..., None].repeat(5, 3), 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["clip.npy", "frames", "clip.gif", "clip.mp4"])
def test_a_failed_write_leaves_nothing(tmp_path, name):
    def frames():
        yield from _digits(3)
        raise RuntimeError("the network failed")

    with pytest.raises(RuntimeError, match="the network failed"):
        write_video(tmp_path / name, frames(), 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["clip.gif", "clip.mp4"])
def test_a_file_that_is_cut_off_is_one_clear_line(tmp_path, name):
    write_video(tmp_path / name, _colours(), 10)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"can't be read: it is damaged, or not what|is cut off"):
        read_video(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.npy", None, r"input=.*gone\.npy is missing"),
        ("clip.doc", b"", r"is of no known kind: give \.npy, \.mp4, .*, \.y4m or a folder of pictures"),
        ("clip.npy", b"no", r"clip\.npy can't be read"),
        ("clip.gif", b"no", r"clip\.gif can't be read: it is damaged, or not what its name says"),
        ("clip.mp4", b"no", r"clip\.mp4 can't be read: it is damaged, or not what its name says"),
        ("clip.mp4", b"", r"clip\.mp4 can't be read"),
        (
            "flat.npy",
            np.zeros((3, 4), np.uint8),
            r"is \(3, 4\) of uint8; expected \(T, H, W\), or \(T, H, W, C\) with 1 to 4 channels",
        ),
        ("whole.npy", np.zeros((3, 4, 4), np.int64), r"of int64; expected"),
        ("none.npy", np.zeros((0, 4, 4), np.uint8), r"holds no frame"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(tmp_path, name, content, message):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        np.save(tmp_path / name, content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_video(tmp_path / name)


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path):
    with pytest.raises(ValueError, match=r"holds no frame: put pictures there \(\.png, \.jpg"):
        read_video(tmp_path)
    for size in (4, 5):
        Image.new("L", (size, size)).save(tmp_path / f"{size}.png")
    with pytest.raises(ValueError, match=r"frames of different sizes: \[\(4, 4\), \(5, 5\)\]"):
        read_video(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_as_others_are(tmp_path):
    os.mkfifo(tmp_path / "in.mkv")
    with pytest.raises(ValueError, match=r"in\.mkv can't be gone through twice: save it first, ffmpeg -i - "):
        open_video(tmp_path / "in.mkv")
