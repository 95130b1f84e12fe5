"""Pixels of FFmpeg's frames, in and out, by swscale at its most exact: its defaults are up to two levels too dark."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from vsr_lightning.inference.video import DEEP

BICUBIC, FULL_CHROMA_OUT, FULL_CHROMA_IN, ACCURATE_ROUNDING = 1 << 2, 1 << 13, 1 << 14, 1 << 18  # of swscale.h
EXACT = BICUBIC | FULL_CHROMA_OUT | FULL_CHROMA_IN | ACCURATE_ROUNDING
RGB, UNKNOWN = 0, 2  # codes of matrices, ITU-T H.273
BT709, BT601 = 1, 5
KNOWN_MATRICES = {RGB, UNKNOWN, 6, *map(int, Colorspace)}  # 6 is BT.601's other name; PyAV knows BT.2020 from 18 on
KINDS = {(False, False): "rgb24", (False, True): "rgb48le", (True, False): "rgba", (True, True): "rgba64le"}
SHIFTED = 255 << 8  # white in RGB of 16 bits as swscale has it where the other side is YUV of limited range
HD = 720  # rows from which on players take what does not say so for BT.709, and below for BT.601


def matrix_of(frame: av.VideoFrame) -> int:
    """Return the code of the matrix by which players show a frame."""
    matrix = int(frame.colorspace)
    return matrix if matrix != UNKNOWN else BT709 if frame.height >= HD else BT601


def is_deep(frame: av.VideoFrame) -> bool:
    """Return whether a frame's pixels have more than 8 bits."""
    return bits_of(frame) > 8


def has_alpha(frame: av.VideoFrame) -> bool:
    """Return whether a frame's pixels could be transparent."""
    return any(component.is_alpha for component in frame.format.components)


def white_of(frame: av.VideoFrame) -> int:
    """Return the number of white in :func:`pixels_of`."""
    return DEEP if is_deep(frame) else 255


def bits_of(frame: av.VideoFrame) -> int:
    """Return the bits of a channel."""
    return max(component.bits for component in frame.format.components)


def name_matrix(frame: av.VideoFrame) -> None:
    """Let a frame that does not name its matrix be converted by that of players."""
    if frame.colorspace == UNKNOWN and not frame.format.is_rgb:
        frame.colorspace = matrix_of(frame)


def reformatted(frame: av.VideoFrame, kind: str, **how: Any) -> av.VideoFrame:
    """Return a frame in another of FFmpeg's layouts, by a reformatter of our own, which ends here.

    A frame's own would end whenever the garbage collector likes: in a forked process, which has none of its threads,
    for ever.
    """
    return VideoReformatter().reformat(frame, format=kind, **how)


def colored(pixels: np.ndarray) -> bool:
    """Return whether (H, W, 3 or more), RGB first, has anything but gray."""
    return bool((pixels[..., :3] != pixels[..., :1]).any())


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, 3 or 4) -> (H, W, channels), 1 to 4: gray is any of the colors, alpha comes last."""
    return pixels[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]


def pixels_of(frame: av.VideoFrame) -> np.ndarray:
    """Return a frame as RGB, with alpha where it has that, (H, W, 3 or 4): of 0 to 255, or to :data:`DEEP`."""
    name_matrix(frame)
    pixels = reformatted(frame, KINDS[has_alpha(frame), is_deep(frame)], interpolation=EXACT).to_ndarray()
    if is_deep(frame):
        pixels = _scaled(pixels, _whites(frame)[: pixels.shape[-1]], DEEP)
    if len(frame.format.components) < 3 and frame.color_range == ColorRange.MPEG:  # which swscale overlooks in gray
        pixels[..., :3] = _stretched(pixels[..., :3], frame)
    return pixels


def _stretched(gray: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Return gray of limited range, 16 to 235, in full range."""
    bits, white = bits_of(frame), white_of(frame)
    codes = gray / np.float32(white) * ((2**bits - 1) / 2 ** (bits - 8))
    stretched: np.ndarray = np.rint(((codes - 16) / 219).clip(0, 1) * white)
    return stretched.astype(gray.dtype)


def _whites(frame: av.VideoFrame) -> list[int]:
    """Return what swscale gives for white in RGB of 16 bits, and for opaque: it moves bits instead of scaling."""
    if frame.format.is_rgb:
        return [DEEP] * 4
    bits = bits_of(frame)
    full = (2**bits - 1) << (16 - bits)
    limited = len(frame.format.components) > 2 and frame.color_range != ColorRange.JPEG
    return [SHIFTED if limited else full] * 3 + [full]


def _scaled(pixels: np.ndarray, white: int | list[int], wanted: int) -> np.ndarray:
    """Return uint16 pixels whose white is another number, rounded; what is brighter than white is cut off."""
    whites = np.array(white, np.uint32)
    scaled: np.ndarray = (np.minimum(pixels, whites) * np.uint32(wanted) + whites // 2) // whites
    return scaled.astype(np.uint16)


def frame_of(pixels: np.ndarray, white: int, kind: str, matrix: int) -> av.VideoFrame:
    """Return (H, W, 1 or 3) as a frame of FFmpeg, in limited range where ``kind`` is not RGB or gray.

    Args:
        pixels: of 0 to ``white``, 255 or :data:`DEEP`.
        white: see there.
        kind: FFmpeg's name of the layout, such as ``yuv420p10le``.
        matrix: code of the matrix.
    """
    color = np.ascontiguousarray(pixels if pixels.shape[-1] == 3 else pixels.repeat(3, -1))
    deep = white == DEEP
    frame = av.VideoFrame.from_ndarray(_scaled(color, DEEP, SHIFTED) if deep else color, "rgb48le" if deep else "rgb24")
    return reformatted(
        frame,
        kind,
        interpolation=EXACT,
        dst_colorspace=Colorspace(BT601 if matrix == 6 else matrix),
        dst_color_range=ColorRange.MPEG,
    )
