"""Folders of pictures in and out: kinds, depth, transparency, names; against Pillow where it can read them."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from vsr_lightning.inference import Format, open_video, read_video, write_video
from vsr_lightning.inference.picture_writer import deep_png

RNG = np.random.default_rng(0)


def _noise(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pictures_of_any_kind_are_read_as_pillow_reads_them(tmp_path, suffix, mode):
    for number in range(3):
        Image.fromarray(_noise(12, 16, 3)).convert(mode).save(tmp_path / f"{number}.{suffix}")
    expected = [np.array(Image.open(tmp_path / f"{number}.{suffix}").convert(mode)) for number in range(3)]
    if suffix == "webp":  # which has no gray
        expected = [np.array(Image.open(tmp_path / f"{number}.webp").convert("RGB")) for number in range(3)]
    assert np.array_equal(read_video(tmp_path), np.stack(expected))


def test_what_systems_leave_in_a_folder_is_no_frame(tmp_path):
    Image.new("L", (4, 4), 7).save(tmp_path / "000.png")
    for name in ("._000.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7" + b"\0" * 80)
    assert read_video(tmp_path).shape == (1, 4, 4)


def test_numbers_without_a_picture_are_told(tmp_path):
    for number in (1, 2, 5, 8, 20):
        Image.new("L", (4, 4)).save(tmp_path / f"frame_{number:03}.png")
    (note,) = open_video(tmp_path).notes
    assert note.startswith("of the numbers 1 to 20 there is no picture 3, 4, 6, 7, 9 and 10 more")
    for number in range(1, 21):
        Image.new("L", (4, 4)).save(tmp_path / f"frame_{number:03}.png")
    assert open_video(tmp_path).notes == []


@pytest.mark.parametrize("suffix", ["webp", "tif"])
def test_a_picture_of_several_frames_is_refused(tmp_path, suffix):
    first, *others = (Image.fromarray(_noise(8, 8, 3)) for _ in range(3))
    first.save(tmp_path / f"0.{suffix}", save_all=True, append_images=others)
    with pytest.raises(ValueError, match=rf"has 0\.{suffix}, which is of several frames: give one picture of each"):
        open_video(tmp_path)


def test_numbers_that_count_nothing_are_not_told(tmp_path):
    for number in (1403636579763555584, 1403636579813555456, 1403636579863555584):  # nanoseconds
        Image.new("L", (4, 4)).save(tmp_path / f"{number}.png")
    assert open_video(tmp_path).notes == []


def test_a_color_profile_is_told_to_be_left_out(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png", icc_profile=profile)
    assert open_video(tmp_path).notes == ["its color profiles are left out: what comes out is taken for sRGB"]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_is_exact_in_and_out(tmp_path, channels, dtype):
    frames = _noise(3, 12, 15, channels, dtype=dtype)
    write_video(tmp_path / "out", frames, kept=Format(white=np.iinfo(dtype).max))
    back = read_video(tmp_path / "out")
    assert back.dtype == dtype
    assert np.array_equal(back, frames[..., 0] if channels == 1 else frames)
    if dtype == np.uint8 or channels == 1:
        kind = {1: "I" if dtype == np.uint16 else "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        picture = np.array(Image.open(tmp_path / "out" / "0000.png").convert(kind))
        assert np.array_equal(picture.reshape(12, 15, channels), frames[0])


def test_deep_tiff_is_read_deep(tmp_path):
    frame = _noise(12, 16, dtype=np.uint16)
    Image.fromarray(frame).save(tmp_path / "0.tif")
    assert np.array_equal(read_video(tmp_path)[0], frame)


def test_pictures_of_8_and_16_bits_become_16(tmp_path):
    Image.new("L", (4, 4), 255).save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(deep_png(np.full((4, 4, 1), 1000, np.uint16)))
    assert read_video(tmp_path)[:, 0, 0].tolist() == [65535, 1000]


@pytest.mark.parametrize("hidden", [0, 254])
def test_a_palette_with_a_transparent_color_is_transparent(tmp_path, hidden):
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8), "P")
    image.putpalette([255, 0, 255, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.save(tmp_path / "0.png", transparency=bytes([hidden, 255, 255, 255]))
    frame = read_video(tmp_path)[0]
    assert frame[0].tolist() == [[255, 0, 255, hidden], [0, 255, 0, 255]]


def test_alpha_that_hides_nothing_is_left_out(tmp_path):
    Image.new("RGBA", (4, 4), (1, 2, 3, 255)).save(tmp_path / "0.png")
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "1.png")
    assert open_video(tmp_path).shape == (4, 4, 3)
    Image.new("RGBA", (4, 4), (1, 2, 3, 9)).save(tmp_path / "2.png")
    assert read_video(tmp_path)[:, 0, 0].tolist() == [[1, 2, 3, 255], [1, 2, 3, 255], [1, 2, 3, 9]]


UPRIGHT = {  # what Exif's numbers mean
    1: lambda it: it, 2: lambda it: it[:, ::-1], 3: lambda it: it[::-1, ::-1], 4: lambda it: it[::-1],
    5: lambda it: it.swapaxes(0, 1), 6: lambda it: np.rot90(it, -1), 7: lambda it: it[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("suffix", "deep"), [("png", False), ("tif", False), ("png", True), ("tif", True)])
def test_pictures_of_phones_are_upright(tmp_path, orientation, suffix, deep):
    pixels, exif = _noise(16, 32, dtype=np.uint16) if deep else _noise(16, 32, 3), Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(tmp_path / f"0.{suffix}", exif=exif)
    expected = UPRIGHT[orientation](pixels)
    assert open_video(tmp_path).shape[:2] == expected.shape[:2]
    assert np.array_equal(read_video(tmp_path)[0], expected)


@pytest.mark.parametrize("name", ["my.frames", "2024.05.01", "out"])
def test_a_folder_may_have_a_dot_in_its_name(tmp_path, name):
    write_video(tmp_path / name, _noise(2, 4, 4), 10)
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["0000.png", "0001.png"]


@pytest.mark.parametrize("name", ["out.avi", "out.png", "out.wmv", "out.jpg"])
def test_a_kind_that_is_not_written_makes_no_folder_of_its_name(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name} is of no known kind: give \.npy, \.gif, \.mp4"):
        write_video(tmp_path / name, _noise(2, 4, 4), 10)
    assert not list(tmp_path.iterdir())


def test_a_transparent_gif_keeps_what_is_hidden_hidden(tmp_path):
    frames = _noise(3, 16, 16, 4)
    frames[..., 3] = 255
    frames[:, :, 8:] = (255, 0, 255, 0)
    write_video(tmp_path / "out.gif", frames, 10)
    back = read_video(tmp_path / "out.gif")
    assert back.shape == (3, 16, 16, 4)
    assert (back[:, :, :8, 3] == 255).all()
    assert (back[:, :, 8:, 3] == 0).all()
    with pytest.raises(ValueError, match=r"out\.mp4 can't be transparent: give \.gif, or a folder for PNG frames"):
        write_video(tmp_path / "out.mp4", frames, 10)
