"""Video files of any kind that FFmpeg decodes, GIFs among them."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import BlockingIOError, EOFError, InvalidDataError
from av.sidedata.sidedata import Type
from av.stream import Disposition
from PIL import Image

from vsr_lightning.inference.orientation import Orientation, orientation_of
from vsr_lightning.inference.pixels import (
    KNOWN_MATRICES,
    RGB,
    UNKNOWN,
    colored,
    has_alpha,
    matrix_of,
    pixels_of,
    reformatted,
    white_of,
    with_channels,
)
from vsr_lightning.inference.video import Colors, Format, Frame, Video
from vsr_lightning.utils.formatting import counted

ISO = (".mp4", ".mov", ".m4v", ".3gp")  # whose parts say how long they are
TELEVISION = (".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".mxf")
MEDIA = (*ISO, ".mkv", ".webm", ".avi", ".gif", ".wmv", ".flv", ".ogv", *TELEVISION, ".y4m")
LOOKED_AT = 10  # first frames that tell whether a video is interlaced, which may also show later
NOT_KEPT = {  # of what frames say of themselves
    "what it says of the display that it was made on": (Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL),
    "what it says to displays of each scene (HDR10+, Dolby Vision)": (
        Type.DYNAMIC_HDR_PLUS, Type.DOVI_METADATA, Type.DOVI_RPU_BUFFER
    ),
    "that it is of all directions, or for both eyes,": (Type.SPHERICAL, Type.STEREO3D),
    "its film grain, which players add,": (Type.FILM_GRAIN_PARAMS,),
    "its captions": (Type.A53_CC,),
}  # fmt: skip
INTERLACED = "it is interlaced: bwdif makes whole frames of it; deinterlace=false leaves that out"
OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder")  # what is said of its kind
GIF_END = b";"
MISSING = Fraction(1, 2)  # seconds that a file may be shorter than it says


@dataclass(frozen=True)
class Film:
    """The stream of a file that is read, and how its frames become pictures.

    Attributes:
        path: of the file.
        index: of the stream.
        times: of its packets, in the stream's time base, in order.
        told: whether the frames have these times, too; else they come in their order, as in AVI.
        orientation: how its frames are to be turned.
        deinterlace: whether interlaced ones are made whole first.
        channels: of pixels that are given: 1, 2 (gray with alpha), 3, or 4.
        notes: the video's own list, to which is added what shows while it is read.
    """

    path: Path
    index: int
    times: tuple[int, ...]
    told: bool
    orientation: Orientation
    deinterlace: bool
    channels: int
    notes: list[str]

    def frames(self, bad: list[str]) -> Iterator[Frame]:
        """Decode the frames; what can't be decoded is left out, and said in ``bad``."""
        with av.open(self.path.absolute()) as file:
            stream = file.streams[self.index]
            decoded = _decoded(file, stream, self.times, bad)
            if not self.told:
                decoded = self._in_order(decoded)
            for frame in self._whole(decoded, stream) if self.deinterlace else decoded:
                pixels = self.orientation.upright(with_channels(pixels_of(frame), self.channels))
                yield Frame(pixels, _time(frame))

    def _whole(self, frames: Iterator[av.VideoFrame], stream: Any) -> Iterator[av.VideoFrame]:
        if INTERLACED in self.notes:
            yield from _deinterlaced(frames, stream)
        for frame in frames:
            if not frame.interlaced_frame:
                yield frame
                continue
            since = f"from {float(_time(frame) or 0):.2f} s on {INTERLACED}"
            if since not in self.notes:  # of an earlier reading
                self.notes.append(since)
            yield from _deinterlaced(chain([frame], frames), stream)

    def _in_order(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame, time in zip(frames, self.times, strict=False):
            frame.pts = time
            yield frame


def _time(frame: av.VideoFrame) -> Fraction | None:
    return None if frame.pts is None or frame.time_base is None else frame.pts * Fraction(frame.time_base)


def open_media(path: Path, deinterlace: bool = True) -> Video:
    """Look at a video file: its packets are counted and its first frames decoded, of a gray one all.

    Args:
        path: of a kind that FFmpeg knows.
        deinterlace: whether interlaced frames are made whole ones.

    Raises:
        ValueError: it has no film, is cut off, or means by its numbers what is not known here.
        av.FFmpegError: it is damaged.
    """
    with av.open(path.absolute()) as file:  # a stream's numbers are gone with its file
        stream, notes = _film(path, file)
        index, base = stream.index, Fraction(stream.time_base)
        count, packets = 0, list[tuple[int, int]]()
        for packet in file.demux(stream):
            count += packet.pts is not None or packet.dts is not None  # empty ones, too, as AVI; the last is none
            if packet.size and packet.pts is not None and not packet.is_discard:
                packets.append((packet.pts, packet.duration or 0))
        packets.sort()
        if not packets:
            raise ValueError(f"input={path} holds no frame")
        times = tuple(time for time, _ in packets)
        last = _shown_last(stream, *packets[-1]) * base
        _check_whole(path, stream, count, (times[-1] + packets[-1][1]) * base)
        if len({*times}) < len(times):
            how = "write it anew first, ffmpeg -i INPUT -c copy OUTPUT, or each part by itself"
            raise ValueError(f"input={path} shows several frames at the same time, as files that were joined do: {how}")
        sound = path if file.streams.audio else None
        begins = [it.start_time * Fraction(it.time_base) for it in (stream, *file.streams.audio) if it.start_time]
        start = max(min(begins), Fraction(0)) if len(begins) == 1 + len(file.streams.audio) else Fraction(0)
        notes += _left_out(file)
        about = {key: value for key, value in file.metadata.items() if key.lower() not in OF_THE_FILE}
        fps = _rate(stream, times, base, last)
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    with av.open(path.absolute()) as file:
        decoded = _decoded(file, file.streams[index], times, [])
        first = list(islice(decoded, LOOKED_AT))
        if not first:
            raise ValueError(f"input={path} can't be read: none of its {counted(len(times), 'frame')} can be decoded")
        colors = _colors(path, first[0], file.streams[index].codec_context)
        color, alpha = _colored_and_transparent(first, decoded)
    one = first[0]
    beside: Any = one.side_data  # whose types know of names only
    notes += [f"{what} is left out" for what, kinds in NOT_KEPT.items() if any(beside.get(kind) for kind in kinds)]
    if deinterlace and any(frame.interlaced_frame for frame in first):
        notes.append(INTERLACED)
    shown = [frame.pts for frame in first]
    told = shown == sorted(time for time in {*shown} & {*times} if time is not None)
    film = Film(path, index, times, told, orientation_of(one), deinterlace, (3 if color else 1) + alpha, notes)
    height, width = (one.width, one.height) if film.orientation.lies else (one.height, one.width)
    kept = Format(
        fps, base, white_of(one), 1 / aspect if film.orientation.lies else aspect,
        colors, start, last or (1 / fps if fps else None), sound, about, _repeats(path),
    )  # fmt: skip
    seconds = tuple(time * base for time in times)
    return Video(path, (height, width, film.channels), len(times), kept, film.frames, seconds, notes)


def _repeats(path: Path) -> int:
    """Return :attr:`Format.repeats`, which FFmpeg does not tell."""
    if path.suffix.lower() != ".gif":
        return 0
    with Image.open(path) as image:
        return int(image.info.get("loop", -1))


def _film(path: Path, file: Any) -> tuple[Any, list[str]]:
    """Return the stream to read, and what to say of that choice."""
    films = [it for it in file.streams.video if not it.disposition & Disposition.attached_pic]
    if any(it.codec_context is None for it in films):
        raise ValueError(f"input={path} has a film by a codec that is not known here: convert it first")
    if any(value == "1" for it in films for key, value in it.metadata.items() if key.lower() == "alpha_mode"):
        how = "ffmpeg -c:v libvpx-vp9 -i INPUT frames/%04d.png"
        raise ValueError(f"input={path} is transparent by a second film: make pictures of it first, {how}")
    if not films:
        what = "only a cover" if file.streams.video else "no pictures"
        raise ValueError(f"input={path} has {what}: give a file with a film")
    if len(films) == 1:
        return films[0], []
    best = max(films, key=lambda it: it.width * it.height)
    sizes = ", ".join(f"{it.width}x{it.height}" for it in films)
    return best, [f"of its films of {sizes}, that of {best.width}x{best.height} is taken, number {best.index}"]


def _left_out(file: Any) -> list[str]:
    """Return what a file has beside film and sound, which nothing here copies."""
    others = {"subtitles": file.streams.subtitles, "streams of data": file.streams.data, "chapters": file.chapters()}
    others["attachments"] = [it for it in file.streams if it.type == "attachment"]
    return [f"its {what} are left out" for what, there in others.items() if there]


def _shown_last(stream: Any, time: int, duration: int) -> int:
    """Return how long the last frame is shown, in the stream's time base: of a packet, it is how long it is decoded."""
    end = (stream.start_time or 0) + (stream.duration or 0)
    return end - time if end > time else duration


def _check_whole(path: Path, stream: Any, packets: int, end: Fraction) -> None:
    """Refuse a file that holds less than it says that it does, as a download that broke off."""
    told, there = _tagged(stream), ""
    if path.suffix.lower() == ".gif" and not path.read_bytes().rstrip(b"\0\r\n ").endswith(GIF_END):
        there = "the mark of its end is missing"
    elif path.suffix.lower() in ISO:
        there = "its last part is missing" if not _has_all_boxes(path) else ""
    elif stream.frames > packets:
        there = f"{stream.frames - packets} of its {stream.frames} frames are missing"
    elif told and told - end > MISSING:
        there = f"{float(end):.2f} of its {float(told):.2f} seconds are there"
    if there:
        raise ValueError(f"input={path} is cut off: {there}; fetch it again")


def _has_all_boxes(path: Path) -> bool:
    """Return whether the boxes of an ISO/IEC 14496-12 file, each of which begins with its size, end with the file."""
    length, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at < length:
            file.seek(at)
            header = file.read(16)
            size = int.from_bytes(header[:4], "big")
            if size == 1:  # the size is longer, and follows
                size = int.from_bytes(header[8:], "big")
            if size == 0:  # to the end
                return True
            at += max(size, 8)
    return at == length


def _tagged(stream: Any) -> Fraction | None:
    """Return the duration that Matroska keeps as a tag, ``00:00:01.600000000``."""
    text = stream.metadata.get("DURATION", "")
    if text.count(":") != 2:
        return None
    hours, minutes, seconds = map(Fraction, text.split(":"))
    return 3600 * hours + 60 * minutes + seconds


def _decoded(file: Any, stream: Any, times: tuple[int, ...], bad: list[str]) -> Iterator[av.VideoFrame]:
    """Decode a stream's frames in the order in which they are shown, without those that can't be."""
    for packet in file.demux(stream):
        try:
            frames = packet.decode()
        except InvalidDataError:
            bad.append(_where(stream, times, packet.pts))
            continue
        for frame in frames:
            if frame.is_corrupt:
                bad.append(f"{_where(stream, times, frame.pts)}, whose damaged part is guessed and written,")
            yield frame


def _where(stream: Any, times: tuple[int, ...], time: int | None) -> str:
    if time is None or time not in times:
        return "a frame at an unknown time"
    return f"frame {times.index(time)} at {float(time * stream.time_base):.2f} s"


def _deinterlaced(frames: Iterator[av.VideoFrame], stream: Any) -> Iterator[av.VideoFrame]:
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(template=stream), graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()  # fmt: skip
    for frame in frames:
        graph.vpush(frame)
        yield from _pulled(graph)
    graph.vpush(None)
    yield from _pulled(graph)


def _pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return


def _colored_and_transparent(first: list[av.VideoFrame], others: Iterator[av.VideoFrame]) -> tuple[bool, bool]:
    """Return whether any frame is in color, and whether any is transparent; both end the search where they may be."""
    transparent_ones = has_alpha(first[0])
    color = alpha = False
    for frame in chain(first, others):
        color = color or _colored(frame)
        alpha = alpha or (transparent_ones and bool((pixels_of(frame)[..., 3] < white_of(frame)).any()))
        if color and (alpha or not transparent_ones):
            break
    return color, alpha


def _colored(frame: av.VideoFrame) -> bool:
    """Return whether a frame has color, by more than one level of 8 bits."""
    if frame.format.is_rgb or frame.format.name == "pal8":
        return colored(pixels_of(frame))
    if len(frame.format.components) < 3:
        return False
    chroma = reformatted(frame, "yuv444p").to_ndarray()[1:].astype(np.int16) - 128
    return bool((abs(chroma) > 1).any())


def _rate(stream: Any, times: tuple[int, ...], base: Fraction, last: Fraction) -> Fraction | None:
    if last and len(times) > 1 and stream.codec_context.name == "gif":
        return len(times) / ((times[-1] - times[0]) * base + last)
    return Fraction(stream.average_rate) if stream.average_rate else None


def _colors(path: Path, frame: av.VideoFrame, told: Any) -> Colors | None:
    """Return what a frame's numbers mean, by what its codec told; None of RGB. ValueError of an unknown matrix."""
    if frame.format.is_rgb or frame.colorspace == RGB:
        return None
    if frame.colorspace not in KNOWN_MATRICES:
        how = f"ITU-T H.273, which PyAV {av.__version__} does not know: update it, or convert the video first"
        raise ValueError(f"input={path} has colors by matrix {frame.colorspace} of {how}")
    primaries, transfer = (code if code else UNKNOWN for code in (told.color_primaries, told.color_trc))
    return Colors(int(primaries), int(transfer), matrix_of(frame))
