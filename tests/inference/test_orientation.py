"""The eight ways to lay down a picture, against ISO/IEC 14496-12's matrix applied pixel by pixel."""

import struct
from itertools import product

import av
import numpy as np
import pytest

from vsr_lightning.inference import open_video, read_video, write_video
from vsr_lightning.inference.orientation import of_matrix

ONE = 1 << 16
QUADRUPLES = product((-1, 0, 1), repeat=4)
TURNS = [(a, b, c, d) for a, b, c, d in QUADRUPLES if a * d - b * c in (-1, 1) and a * c + b * d == 0]


def _shown(pixels, a, b, c, d):
    """Move each pixel at (x, y) to (a x + c y, b x + d y)."""
    height, width = pixels.shape[:2]
    places = {(a * x + c * y, b * x + d * y): pixels[y, x] for y in range(height) for x in range(width)}
    columns, rows = (sorted({place[axis] for place in places}) for axis in (0, 1))
    return np.array([[places[x, y] for x in columns] for y in rows])


@pytest.mark.parametrize("turn", TURNS)
def test_every_matrix_of_right_angles_is_followed(turn):
    a, b, c, d = turn
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3))
    found = of_matrix((a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30))
    assert np.array_equal(found.upright(pixels), _shown(pixels, a, b, c, d))
    assert found.lies == (a == 0)


def test_there_are_eight():
    assert len(TURNS) == 8


@pytest.mark.parametrize("turn", TURNS)
def test_a_file_is_shown_as_its_matrix_says(tmp_path, turn):
    a, b, c, d = turn
    frames = np.zeros((3, 32, 64), np.uint8)
    frames[:, :16, :32], frames[:, :16, 32:], frames[:, 16:, :32] = 250, 170, 90
    path = tmp_path / "clip.mp4"
    write_video(path, frames, 10)
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    content[at : at + 36] = struct.pack(">9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    back, expected = read_video(path)[1], _shown(frames[1], a, b, c, d)
    assert open_video(path).shape == (*expected.shape, 1)
    assert np.abs(back.astype(int) - expected)[4::8, 4::8].max() <= 2
    if (a, b, c, d) in ((0, 1, -1, 0), (0, -1, 1, 0)):  # FFmpeg's own angle, to the left
        with av.open(str(path)) as file:
            assert next(file.decode(video=0)).rotation % 360 == (270 if b == 1 else 90)
