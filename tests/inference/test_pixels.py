"""Pixels of FFmpeg's frames against the equations of ITU-R BT.601, BT.709 and BT.2020, in limited and full range."""

import av
import numpy as np
import pytest

from vsr_lightning.inference.pixels import KNOWN_MATRICES, frame_of, pixels_of
from vsr_lightning.inference.video import DEEP

MATRICES = {5: (0.299, 0.114), 1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}  # weights of red and of blue
needs_bt2020 = pytest.mark.skipif(9 not in KNOWN_MATRICES, reason="PyAV knows BT.2020 from 18 on")
EVERY = [5, 1, pytest.param(9, marks=needs_bt2020)]


def _to_rgb(planes, matrix, bits, full):
    """Return red, green and blue of 0 to 255, not rounded."""
    red_weight, blue_weight = MATRICES[matrix]
    steps = 2 ** (bits - 8)
    y, blue, red = np.asarray(planes, float)
    if full:
        peak, middle = 2**bits - 1, 2 ** (bits - 1)
        y, blue, red = y / peak, (blue - middle) / peak, (red - middle) / peak
    else:
        y, blue, red = (y / steps - 16) / 219, (blue / steps - 128) / 224, (red / steps - 128) / 224
    r, b = y + 2 * (1 - red_weight) * red, y + 2 * (1 - blue_weight) * blue
    return 255 * np.array([r, (y - red_weight * r - blue_weight * b) / (1 - red_weight - blue_weight), b])


def _to_yuv(rgb, matrix, bits):
    red_weight, blue_weight = MATRICES[matrix]
    r, g, b = np.asarray(rgb, float) / 255
    y = red_weight * r + (1 - red_weight - blue_weight) * g + blue_weight * b
    blue, red = (b - y) / (2 - 2 * blue_weight), (r - y) / (2 - 2 * red_weight)
    return 2 ** (bits - 8) * np.array([16 + 219 * y, 128 + 224 * blue, 128 + 224 * red])


def _flat(kind, planes, matrix, full):
    frame = av.VideoFrame(32, 16, kind)
    dtype = np.uint16 if "10" in kind else np.uint8
    for plane, value in zip(frame.planes, planes, strict=True):
        plane.update(np.full(plane.buffer_size // np.dtype(dtype).itemsize, value, dtype).tobytes())
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    return frame


@pytest.mark.parametrize("matrix", EVERY)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
def test_a_flat_patch_is_read_within_half_a_level(kind, matrix, full):
    rng, bits = np.random.default_rng(0), 10 if "10" in kind else 8
    white, checked = (DEEP if bits == 10 else 255), 0
    for _ in range(60):
        planes = rng.integers(2 ** (bits - 8) * np.array([30, 90, 90]), 2 ** (bits - 8) * np.array([220, 166, 166]))
        expected = _to_rgb(planes, matrix, bits, full)
        if expected.min() >= 0 and expected.max() <= 255:
            found = pixels_of(_flat(kind, planes, matrix, full)) / white * 255
            assert np.abs(found - expected).max() <= (0.51 if bits == 8 else 0.1)
            checked += 1
    assert checked > 15


@pytest.mark.parametrize("matrix", EVERY)
@pytest.mark.parametrize("kind", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_a_flat_patch_is_written_within_half_a_level(kind, matrix):
    rng, bits = np.random.default_rng(0), 10 if "10" in kind else 8
    for color in [(30, 179, 61), (0, 0, 0), (255, 255, 255), *rng.integers(0, 256, (20, 3))]:
        white = DEEP if bits == 10 else 255
        pixels = (np.full((16, 32, 3), color) * (white // 255)).astype(np.uint16 if bits == 10 else np.uint8)  # exact
        frame = frame_of(pixels, white, kind, matrix)
        planes = [np.frombuffer(bytes(plane), np.uint16 if bits == 10 else np.uint8)[0] for plane in frame.planes]
        assert np.abs(planes - _to_yuv(color, matrix, bits)).max() <= (0.51 if bits == 8 else 1.1)
        assert (frame.colorspace, frame.color_range) == (6 if matrix == 5 else matrix, 1)  # two names of BT.601


@pytest.mark.parametrize("kind", ["yuv420p", "yuv420p10le"])
def test_gray_comes_back_as_it_was(kind):
    deep = "10" in kind
    for level in range(0, 256, 5):
        pixels = np.full((16, 32, 1), level * (257 if deep else 1), np.uint16 if deep else np.uint8)
        back = pixels_of(frame_of(pixels, DEEP if deep else 255, kind, 1))
        assert np.abs(back.astype(int) - pixels).max() <= (90 if deep else 1)  # limited range has 220 levels
