import numpy as np
import pytest
from PIL import Image

from vsr_lightning.video import read_video, write_video


def _digits(frames=20, height=64, width=64):
    """Something that moves, and stands still for three frames."""
    y, x = np.mgrid[:height, :width]
    clip = [127.5 + 127.5 * np.sin((x + 3 * t) / 5) * np.cos(y / 7) for t in range(frames)]
    clip[5:8] = [clip[5]] * 3
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


def test_colour_becomes_grey(tmp_path):
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_video(tmp_path)[0, 0, 0] == 76  # 0.299 of red


def test_sixteen_bit_frames_are_refused_not_cut_off(tmp_path):
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="frames of more than 8 bits: convert them to 8 bits first"):
        read_video(tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="too many values to unpack"):
        write_video(tmp_path / "clip.gif", _digits()[..., None].repeat(2, 3), 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.npy", None, r"input=.*gone\.npy is missing"),
        ("clip.avi", b"", r"is of no known kind: give \.npy, \.gif, \.mp4 or a folder of PNG frames"),
        ("clip.npy", b"no", r"clip\.npy can't be read"),
        ("clip.gif", b"no", r"clip\.gif can't be read: it is damaged, or not what its name says"),
        ("clip.mp4", b"no", r"clip\.mp4 can't be read: it is damaged, or not what its name says"),
        ("clip.mp4", b"", r"clip\.mp4 can't be read"),
        ("flat.npy", np.zeros((3, 4), np.uint8), r"is \(3, 4\) of uint8; expected \(T, H, W\) of uint8, or of float"),
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
    with pytest.raises(ValueError, match="holds no frame: put PNG frames there"):
        read_video(tmp_path)
    for size in (4, 5):
        Image.new("L", (size, size)).save(tmp_path / f"{size}.png")
    with pytest.raises(ValueError, match=r"frames of different sizes: \[\(4, 4\), \(5, 5\)\]"):
        read_video(tmp_path)
