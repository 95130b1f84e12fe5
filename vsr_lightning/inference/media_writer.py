"""Video files that are written while their frames are made."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange
from PIL import Image

from vsr_lightning.inference.pixels import BT709, frame_of
from vsr_lightning.inference.sound import Sound
from vsr_lightning.inference.video import Colors, Format

CODECS = {".mp4": "libx264", ".m4v": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
DEEP_CODECS = {**dict.fromkeys(CODECS, "libx265"), ".webm": "libsvtav1"}  # few players know 10 bits of H.264
QUALITY = {"libx264": 12, "libx265": 14, "libvpx-vp9": 15, "libsvtav1": 15}  # crf of which eyes see no loss
TELL_ASPECT = ("libx264", "libx265")  # in their own stream, since PyAV can't write it into a container
LOOKAHEAD = {"libx264": 40, "libx265": 20}  # frames that an encoder keeps to plan the rate of those before them
AHEAD_PIXELS = 40 * 2**20  # in these at most, so that five frames of 2160 lines are kept, and not 40: 1.1 GB
DEFAULT_FPS = Fraction(10)  # where neither the user nor the input says
GIF_TICKS = 100  # of a second
Write = Callable[[np.ndarray, Fraction], object]  # pixels (H, W, C), and seconds from the first frame


class Encoding(NamedTuple):
    """How a video file is compressed.

    Attributes:
        codec: FFmpeg's name of an encoder; None is one that players of this kind of file know.
        crf: constant rate factor, the smaller the better; None is one at which no loss is seen.
    """

    codec: str | None = None
    crf: float | None = None


@contextmanager
def film(
    path: Path, kind: str, shape: tuple[int, ...], kept: Format, encoding: Encoding, sound: Sound
) -> Iterator[Write]:
    """Give a function that writes a frame of gray or RGB; odd sizes are padded by a row or column.

    Args:
        path: where.
        kind: suffix of what is written, in :data:`CODECS`.
        shape: of a frame's pixels.
        kept: what else the video has.
        encoding: how it is compressed.
        sound: what is copied beside it.

    Raises:
        ValueError: the codec is unknown, or not of this kind of file.
    """
    deep = kept.white > 255
    name, layout = encoding.codec or (DEEP_CODECS if deep else CODECS)[kind], "yuv420p10le" if deep else "yuv420p"
    if layout not in _layouts(name):
        raise ValueError(f"codec={name} can't be used for this video: it does not know {layout}; choose another one")
    if kept.aspect != 1 and name not in TELL_ASPECT:
        how = "give .mp4 or .mkv, or make them square first, ffmpeg -i INPUT -vf scale=iw*sar:ih OUTPUT"
        raise ValueError(f"codec={name} can't keep pixels that are {kept.aspect} times as wide as high: {how}")
    even = [(0, shape[0] % 2), (0, shape[1] % 2), (0, 0)]  # as the codecs need it
    height, width = shape[0] + even[0][1], shape[1] + even[1][1]
    colors = kept.colors or Colors(BT709, BT709, BT709)
    with av.open(path.absolute(), "w", format=_MUXERS[kind]) as file:
        file.metadata.update(kept.about)
        stream = _stream(file, name, kept)
        stream.height, stream.width = height, width
        stream.pix_fmt = layout
        context = stream.codec_context
        context.sample_aspect_ratio = kept.aspect
        context.color_primaries, context.color_trc, context.colorspace = colors
        context.color_range = ColorRange.MPEG
        context.options = _options(name, encoding, height * width)
        if name == "libx265" and _MUXERS[kind] in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # as Apple's players want it
        try:
            context.open()
        except av.FFmpegError as error:
            if encoding.crf is not None:
                raise ValueError(
                    f"crf={encoding.crf:g} can't be used with {name}: choose another one, or null"
                ) from error
            raise _unusable(name, error) from error
        if "crf" in context.options:  # what the encoder knows is taken from them
            raise ValueError(
                f"codec={name} knows no crf={encoding.crf:g}: leave it out, or choose {', '.join(QUALITY)}"
            )
        sound.join(file, kind)

        def write(pixels: np.ndarray, time: Fraction) -> None:
            pixels = np.pad(pixels, even, mode="edge") if pixels.shape[:2] != (height, width) else pixels
            frame = frame_of(pixels, kept.white, layout, colors.matrix)
            _mux(file, stream, kept, frame, time)
            sound.copy(time)

        yield write
        _mux(file, stream, kept)
        sound.copy(None)


@contextmanager
def gif(path: Path, shape: tuple[int, ...], kept: Format) -> Iterator[Write]:
    """Give a function that writes a frame of a GIF: gray is exact, in color each has a palette of its own.

    Pillow's writer would drop frames that equal the one before.
    """
    last = round(kept.last * GIF_TICKS) if kept.last else -1
    with av.open(
        path.absolute(), "w", format="gif", options={"final_delay": str(last), "loop": str(kept.repeats)}
    ) as file:
        stream = _stream(file, "gif", kept)
        stream.height, stream.width = shape[:2]
        stream.pix_fmt = "gray" if shape[2] == 1 else "pal8"
        yield lambda pixels, time: _mux(file, stream, kept, _indexed(pixels), time)
        _mux(file, stream, kept)


def _layouts(codec: str) -> list[str]:
    """Return the layouts of pixels that an encoder knows, by FFmpeg's names."""
    try:
        return [known.name for known in av.codec.Codec(codec, "w").video_formats or ()]
    except ValueError as error:
        raise _unusable(codec, error) from error


def _stream(file: Any, codec: str, kept: Format) -> Any:
    fps = (kept.fps or DEFAULT_FPS).limit_denominator(1001)  # 30000/1001 is a common rate
    try:
        stream = file.add_stream(codec, rate=fps)
    except (ValueError, av.error.FFmpegError) as error:
        raise _unusable(codec, error) from error
    stream.codec_context.time_base = kept.time_base or 1 / fps
    return stream


def _unusable(codec: str, error: Exception) -> ValueError:
    why = getattr(error, "strerror", None) or error  # FFmpeg's errors have their words there
    return ValueError(f"codec={codec} can't be used here ({why}): choose another one, or null")


def _mux(
    file: Any, stream: Any, kept: Format, frame: av.VideoFrame | None = None, time: Fraction = Fraction(0)
) -> None:
    """Encode a frame, or what the encoder still has, and write the packets that come out."""
    base = Fraction(stream.codec_context.time_base)
    if frame:
        frame.time_base, frame.pts = base, round(time / base)
    for packet in stream.encode(frame):
        if kept.last:  # which counts in the last packet only: those before it end where the next one begins
            packet.duration = round(kept.last / base)
        file.mux(packet)


def _options(codec: str, encoding: Encoding, pixels: int) -> dict[str, str]:
    crf = QUALITY.get(codec) if encoding.crf is None else encoding.crf
    options = {} if crf is None else {"crf": f"{crf:g}"}
    ahead = min(LOOKAHEAD.get(codec, 0), AHEAD_PIXELS // pixels)
    if codec == "libx264":
        options["rc-lookahead"] = str(ahead)
    if codec == "libx265":
        options["x265-params"] = f"log-level=error:rc-lookahead={max(ahead, 5)}"  # it needs more than its B-frames
    if codec == "libvpx-vp9":
        options["b"] = "0"
    return options


def _indexed(pixels: np.ndarray) -> av.VideoFrame:
    """Return a frame of gray, or of at most 256 colors; what is more transparent than not becomes so."""
    if pixels.shape[2] == 1:
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[..., 0]), format="gray")
    hidden = pixels[..., -1] < 128 if pixels.shape[2] in (2, 4) else None
    image = Image.fromarray(_rgb(pixels)).quantize(255 if hidden is not None else 256)
    indices, colors = np.array(image), np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
    palette[: len(colors), 1:] = colors
    if hidden is not None:
        indices[hidden], palette[255] = 255, 0
    indexed: Any = (indices, palette)  # PyAV's types know of arrays only
    return av.VideoFrame.from_ndarray(indexed, format="pal8")


def _rgb(pixels: np.ndarray) -> np.ndarray:
    colors = pixels[..., : 3 if pixels.shape[2] > 2 else 1]
    return np.ascontiguousarray(np.broadcast_to(colors, (*pixels.shape[:2], 3)))


_MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
