"""What belongs to a video file beside its pixels, in and out, against FFmpeg's own reading of both."""

import io
import re
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.inference.films import RATE, encode, probe
from vsr_lightning.inference import Encoding, Format, Sound, open_video, output_format, read_video, write_video
from vsr_lightning.inference.media_writer import CODECS, _options
from vsr_lightning.inference.pixels import KNOWN_MATRICES
from vsr_lightning.inference.video import Colors


def _frames(number=12, height=48, width=64):
    """Orange on the left, blue on the right, dark above, a little brighter with each frame."""
    frames = np.full((number, height, width, 3), (40, 60, 200), np.uint8)
    frames[:, :, : width // 2] = (220, 120, 40)
    frames[:, : height // 4] //= 2
    return frames + np.arange(number, dtype=np.uint8)[:, None, None, None]


def larger(source, output, **options):
    """Write every pixel of a video twice, in both directions, with all that it has beside them."""
    video = open_video(Path(source))
    frames = [frame.pixels.repeat(2, 0).repeat(2, 1) for frame in video]
    sound = Sound(video.format.sound)
    kept = output_format(Path(output), video.format)
    write_video(Path(output), frames, kept=kept, times=video.times and iter(video.times), sound=sound, **options)
    return video, sound


@pytest.mark.parametrize(
    ("suffix", "codec", "sound"),
    [
        ("mp4", "libx264", "aac"),
        ("mov", "libx264", "aac"),
        ("mkv", "libx264", "aac"),
        ("webm", "libvpx-vp9", "libopus"),
    ],
)
def test_sound_times_and_shape_come_out_as_they_went_in(tmp_path, suffix, codec, sound):
    aspect = Fraction(1 if suffix == "webm" else "32/27")
    source = encode(tmp_path / f"in.{suffix}", _frames(), codec, sound=sound, sample_aspect_ratio=aspect)
    larger(source, tmp_path / f"out.{suffix}")
    before, after = probe(source), probe(tmp_path / f"out.{suffix}")
    assert after["times"] == before["times"]
    assert after["aspect"] == before["aspect"] == aspect
    assert np.array_equal(after["sound"], before["sound"])
    assert after["sound"].shape[1] > RATE // 3
    assert abs(after["length"] - before["length"]) <= 1000  # microseconds


def test_pixels_that_are_not_square_are_refused_where_a_codec_cannot_tell(tmp_path):
    source = encode(tmp_path / "in.mp4", _frames(), sample_aspect_ratio=Fraction(32, 27))
    with pytest.raises(ValueError, match="libvpx-vp9 can't keep pixels that are 32/27 times as wide as high: give"):
        larger(source, tmp_path / "out.webm")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_sound_that_the_kind_of_file_cannot_hold_is_told(tmp_path):
    source = encode(tmp_path / "in.mp4", _frames(), sound="aac")
    _, sound = larger(source, tmp_path / "out.webm")
    assert sound.left_out == ["its sound by aac is left out, since .webm can't hold it"]
    assert probe(tmp_path / "out.webm")["sound"] is None


def test_sound_is_cut_to_the_frames_that_are_left(tmp_path):
    source = encode(tmp_path / "in.mp4", _frames(40), sound="aac")
    video = open_video(source)
    frames = [frame.pixels for frame in video][5:-5]
    sound = Sound(source, video.times[5], video.times[-5])
    times = [time - video.times[5] for time in video.times[5:-5]]
    write_video(tmp_path / "out.mp4", frames, kept=video.format, times=iter(times), sound=sound)
    found = probe(tmp_path / "out.mp4")
    assert found["times"] == times
    heard, all_of_it = found["sound"], probe(source)["sound"]
    assert abs(heard.shape[1] / RATE - 30 / 25) < 2 * 1024 / RATE
    begin = heard[0, 4096:8192]  # of AAC the first frames lean on what came before
    places = [np.abs(all_of_it[0, at : at + 4096] - begin).max() for at in range(0, 20_000)]
    with av.open(str(tmp_path / "out.mp4")) as file:
        late = file.streams.audio[0].start_time or 0
    assert abs(int(np.argmin(places)) - (RATE // 5 + 4096 + late)) <= 48  # a millisecond


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "mov"])
def test_frames_are_shown_when_they_were(tmp_path, suffix):
    times = [0, 1, 2, 3, 4, 5, 6, 12, 18, 24, 30, 36]
    source = encode(tmp_path / "in.mp4", _frames(), rate=30, times=times)
    larger(source, tmp_path / f"out.{suffix}")
    found = probe(tmp_path / f"out.{suffix}")["times"]
    exact = 0 if suffix in ("mp4", "mov") else 0.0006  # Matroska counts milliseconds
    assert [float(time) for time in found] == pytest.approx([time / 30 for time in times], abs=exact)


def test_a_broadcast_that_begins_at_no_round_time_begins_at_once(tmp_path):
    source = encode(tmp_path / "in.ts", _frames(40), sound="aac")
    before = probe(source)["times"]
    assert before[0] > 0
    video = open_video(source)
    assert 0 <= video.times[0] - video.format.start < Fraction(1, 10)
    assert [frame.time for frame in video] == before


def test_subtitles_are_told_to_be_left_out(tmp_path):
    source, path = encode(tmp_path / "film.mkv", _frames()), tmp_path / "in.mkv"
    lines = tmp_path / "lines.srt"
    lines.write_text("1\n00:00:00,000 --> 00:00:00,200\nHello\n\n")
    with av.open(str(source)) as film, av.open(str(lines)) as text, av.open(str(path), "w") as file:
        streams = {it: file.add_stream_from_template(it.streams[0]) for it in (film, text)}
        for container in (film, text):
            for packet in container.demux():
                if packet.size:
                    packet.stream = streams[container]
                    file.mux(packet)
    assert open_video(path).notes == ["its subtitles are left out"]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_title_date_and_languages_are_kept(tmp_path, suffix):
    source = encode(tmp_path / "film.mp4", _frames(), sound="aac")
    path = tmp_path / f"in.{suffix}"
    with av.open(str(source)) as film, av.open(str(path), "w") as file:
        file.metadata.update(title="A walk", creation_time="2024-05-01T12:30:05.000000Z")
        streams = {it.index: file.add_stream_from_template(it) for it in film.streams}
        streams[1].metadata["language"] = "deu"
        for packet in film.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                file.mux(packet)
    larger(path, tmp_path / f"out.{suffix}")
    languages = []
    for name in ("in", "out"):
        with av.open(str(tmp_path / f"{name}.{suffix}")) as file:
            told = {key.lower(): value for key, value in file.metadata.items()}
            assert (told["title"], told["creation_time"][:19]) == ("A walk", "2024-05-01T12:30:05")
            languages.append(file.streams.audio[0].metadata.get("language"))
    assert languages == ["deu" if suffix != "mov" else None] * 2  # QuickTime's own codes have no such one


def test_a_gif_keeps_its_pauses(tmp_path):
    times = [0, 5, 10, 15, 115, 120, 125, 130, 135, 140, 145, 150]
    moments = (Fraction(time, 100) for time in times)
    write_video(tmp_path / "in.gif", _frames(), kept=Format(time_base=Fraction(1, 100)), times=moments)
    for suffix in ("gif", "mp4"):
        larger(tmp_path / "in.gif", tmp_path / f"out.{suffix}")
        assert probe(tmp_path / f"out.{suffix}")["times"] == [Fraction(time, 100) for time in times]


@pytest.mark.parametrize("repeats", [0, 3, None])
def test_a_gif_is_repeated_as_often_as_before(tmp_path, repeats):
    first, *others = (Image.fromarray(frame) for frame in _frames())
    often = {} if repeats is None else {"loop": repeats}
    first.save(tmp_path / "in.gif", save_all=True, append_images=others, duration=100, **often)
    larger(tmp_path / "in.gif", tmp_path / "out.gif")
    with Image.open(tmp_path / "in.gif") as source, Image.open(tmp_path / "out.gif") as made:
        assert made.info.get("loop") == source.info.get("loop") == repeats


def test_ten_bits_keep_their_depth(tmp_path):
    ramp = np.linspace(0.1, 0.9, 64)[None, None, :, None].repeat(3, 0).repeat(48, 1).repeat(3, 3)
    source = tmp_path / "in.mkv"
    write_video(source, (ramp * 65535).astype(np.uint16), 25, kept=Format(white=65535))
    assert probe(source)["kind"] == "yuv420p10le"
    assert np.abs(read_video(source) / 65535 - ramp[..., 0]).max() < 3 / 1023
    for suffix in CODECS:
        larger(source, tmp_path / f"out{suffix}")
        assert probe(tmp_path / f"out{suffix}")["kind"] == "yuv420p10le"
        assert len(np.unique(read_video(tmp_path / f"out{suffix}")[1])) > 55
    for name in ("out", "out.npy"):
        larger(source, tmp_path / name)
        back = read_video(tmp_path / name)
        assert back.dtype == np.uint16
        assert np.array_equal(back[:, ::2, ::2].reshape(3, 48, 64, -1)[..., 0], read_video(source))
    with pytest.raises(ValueError, match="codec=libvpx-vp9 can't be used for this video: it does not know yuv420p10le"):
        larger(source, tmp_path / "vp9.webm", encoding=Encoding("libvpx-vp9"))


@pytest.mark.skipif(9 not in KNOWN_MATRICES, reason="PyAV knows BT.2020 from 18 on")
@pytest.mark.parametrize("transfer", [16, 18])  # PQ and HLG
def test_hdr_stays_hdr(tmp_path, transfer):
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1}
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    options = {"x265-params": f"log-level=none:master-display={display}:max-cll=1000,400"}
    source = encode(tmp_path / "in.mp4", _frames(), "libx265", "yuv420p10le", options=options, **tags)
    assert open_video(source).notes == ["what it says of the display that it was made on is left out"]
    larger(source, tmp_path / "out.mp4")
    before, after = probe(source), probe(tmp_path / "out.mp4")
    for key in ("kind", "matrix", "colors"):
        assert after[key] == before[key]
    small, large = (read_video(tmp_path / name)[3].astype(float) / 65535 for name in ("in.mp4", "out.mp4"))
    assert np.abs(large[::2, ::2] - small)[16:40, 8:24].max() < 4 / 255
    for name in ("out.gif", "out"):
        with pytest.raises(ValueError, match=rf"output={name} can't say that its colors are HDR or of a wide gamut"):
            output_format(Path(name), open_video(source).format)


@pytest.mark.parametrize("primaries", [9, 11, 12])  # BT.2020's, and P3's two
def test_a_wide_gamut_is_refused_where_a_picture_would_be_taken_for_srgb(primaries):
    wide = Format(colors=Colors(primaries, 1, 1))
    with pytest.raises(ValueError, match="can't say that its colors are HDR or of a wide gamut"):
        output_format(Path("out"), wide)
    assert output_format(Path("out.mkv"), wide) == wide


@pytest.mark.parametrize(("rows", "matrix"), [(48, 5), (720, 1)])
def test_colors_that_a_file_does_not_name_are_taken_as_players_do_and_named(tmp_path, rows, matrix):
    source = encode(tmp_path / "in.mp4", _frames(3, rows, 64))
    assert probe(source)["matrix"] == 2
    larger(source, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4")["matrix"] in ((5, 6) if matrix == 5 else (1,))
    before, after = read_video(source)[1], read_video(tmp_path / "out.mp4")[1]
    assert np.abs(after[::2, ::2].astype(int) - before)[rows // 2 : rows - 8, 8:24].max() <= 3


def test_interlaced_video_is_made_whole_and_said_so(tmp_path):
    moving = np.zeros((12, 48, 64, 3), np.uint8)
    for number in range(12):  # every other row is of half a frame later
        moving[number, ::2, 4 * number : 4 * number + 8] = 255
        moving[number, 1::2, 4 * number + 2 : 4 * number + 10] = 255
    options = {"crf": "1", "x264-params": "interlaced=1:tff=1"}
    source = encode(tmp_path / "in.mp4", moving, options=options)
    with av.open(str(source)) as file:
        assert next(file.decode(video=0)).interlaced_frame
    video = open_video(source)
    assert video.notes[0].startswith("it is interlaced: bwdif makes whole frames of it")
    whole, combed = (np.stack([it.pixels for it in open_video(source, on)])[..., 0].astype(int) for on in (True, False))
    assert whole.shape == combed.shape == (12, 48, 64)
    between_rows = [np.abs(it[3:9, 2:-3] - it[3:9, 1:-4]).mean() for it in (whole, combed)]
    assert between_rows[0] < 0.5 * between_rows[1]
    assert [frame.time for frame in video] == list(video.times)


def test_video_that_becomes_interlaced_later_is_made_whole_from_there(tmp_path):
    moving = np.zeros((24, 48, 64, 3), np.uint8)
    for number in range(24):
        later = 2 * (number >= 12)
        moving[number, ::2, 2 * number : 2 * number + 8] = 255
        moving[number, 1::2, 2 * number + later : 2 * number + later + 8] = 255
    parts = []
    for begin, options in ((0, {}), (12, {"x264-params": "interlaced=1:tff=1"})):
        part = encode(
            tmp_path / f"{begin}.ts", moving[begin : begin + 12], times=range(begin, begin + 12),
            options={"crf": "1", "bf": "0", **options},
        )  # fmt: skip
        parts.append(part.read_bytes())
    joined = tmp_path / "in.ts"
    joined.write_bytes(b"".join(parts))
    video = open_video(joined)
    assert video.notes == []
    frames = [frame.pixels[..., 0].astype(int) for frame in video]
    assert len(frames) == 24
    assert [*video]
    assert len(video.notes) == 1
    assert re.match(r"from \d+\.\d\d s on it is interlaced: bwdif makes whole frames", video.notes[0])
    assert [frame.time for frame in video] == list(video.times)
    combed = [frame.pixels[..., 0].astype(int) for frame in open_video(joined, deinterlace=False)]
    assert np.array_equal(frames[:12], combed[:12])
    between_rows = [np.mean([np.abs(it[2:-3] - it[1:-4]).mean() for it in some[14:22]]) for some in (frames, combed)]
    assert between_rows[0] < 0.5 * between_rows[1]


def _atom(name, body):
    return struct.pack(">I", 8 + len(body)) + name + body


def test_a_cover_is_not_taken_for_the_film(tmp_path):
    path, picture = encode(tmp_path / "in.mp4", _frames()), io.BytesIO()
    Image.new("RGB", (300, 300)).save(picture, "JPEG")
    cover = _atom(b"covr", _atom(b"data", struct.pack(">II", 13, 0) + picture.getvalue()))
    handler = _atom(b"hdlr", b"\0" * 8 + b"mdirappl" + b"\0" * 9)
    user_data = _atom(b"udta", _atom(b"meta", b"\0" * 4 + handler + _atom(b"ilst", cover)))
    content = path.read_bytes()
    begin = content.find(b"moov") - 4
    end = begin + struct.unpack(">I", content[begin : begin + 4])[0]
    header = begin + 8 + struct.unpack(">I", content[begin + 8 : begin + 12])[0]
    body = content[begin + 8 : header] + user_data + content[header:end]
    path.write_bytes(content[:begin] + _atom(b"moov", body) + content[end:])
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec_context.name == "mjpeg"
    video = open_video(path)
    assert (video.shape, video.length, video.notes) == ((48, 64, 3), 12, [])
    assert read_video(path).shape == (12, 48, 64, 3)


def test_of_several_films_the_best_is_taken_and_told(tmp_path):
    path, small, large = tmp_path / "both.mkv", _frames(6, 24, 32), _frames(6)
    with av.open(str(path), "w") as file:
        streams = []
        for frames in (small, large):
            stream = file.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
            streams.append((stream, frames))
        for number in range(6):
            for stream, frames in streams:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frames[number], format="rgb24")))
        for stream, _ in streams:
            file.mux(stream.encode())
    video = open_video(path)
    assert video.shape == (48, 64, 3)
    assert video.notes == ["of its films of 32x24, 64x48, that of 64x48 is taken, number 1"]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_one_bad_packet_loses_its_frame_only_and_is_told(tmp_path, suffix):
    source = encode(tmp_path / f"in.{suffix}", _frames(40), options={"crf": "10", "g": "5", "bf": "0"})
    with av.open(str(source)) as file:
        packets = [(it.pos, it.size) for it in file.demux(video=0) if it.size]
        bytes_of = [bytes(it) for it in av.open(str(source)).demux(video=0) if it.size]
    content = bytearray(source.read_bytes())
    at = content.index(bytes_of[7])
    content[at : at + packets[7][1]] = bytes(packets[7][1])
    source.write_bytes(content)
    video = open_video(source)
    assert len([*video]) == 39
    assert video.bad == ["frame 7 at 0.28 s"]
    assert len([*video]) == 39  # and again
    assert len(video.bad) == 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "gif", "mov"])
def test_half_a_download_is_refused(tmp_path, suffix):
    codec = {"webm": "libvpx-vp9", "gif": "gif"}.get(suffix, "libx264")
    if suffix == "gif":
        write_video(tmp_path / "in.gif", _frames(40), 25)
    else:
        encode(tmp_path / f"in.{suffix}", np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), np.uint8), codec)
    content = (tmp_path / f"in.{suffix}").read_bytes()
    (tmp_path / f"in.{suffix}").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"is cut off: .*; fetch it again|can't be read: it is damaged"):
        open_video(tmp_path / f"in.{suffix}")


def test_a_film_that_can_be_played_before_it_is_whole_is_refused_when_it_is_cut_off(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)
    with av.open(str(tmp_path / "in.mp4"), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for pixels in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    content = (tmp_path / "in.mp4").read_bytes()
    (tmp_path / "in.mp4").write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(ValueError, match=r"is cut off: its last part is missing; fetch it again"):
        open_video(tmp_path / "in.mp4")


@pytest.mark.parametrize("flags", ["frag_keyframe", "frag_keyframe+empty_moov", "dash"])
def test_half_of_a_fragmented_film_is_refused(tmp_path, flags):
    with av.open(str(tmp_path / "in.mp4"), "w", options={"movflags": flags}) as file:
        stream = file.add_stream("libx264", rate=25, options={"g": "5"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for pixels in _frames(40):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    assert open_video(tmp_path / "in.mp4").length == 40
    content = (tmp_path / "in.mp4").read_bytes()
    (tmp_path / "in.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"is cut off: its last part is missing|can't be read: it is damaged"):
        open_video(tmp_path / "in.mp4")


def test_a_film_that_a_phone_has_trimmed_is_whole(tmp_path):
    source = encode(tmp_path / "in.mp4", _frames(40), options={"g": "10", "crf": "1"})
    content = bytearray(source.read_bytes())
    at = content.index(b"elst") + 12
    length, begin = struct.unpack(">II", content[at : at + 8])
    with av.open(str(source)) as file:
        ticks = 15 * round(1 / (25 * file.streams.video[0].time_base))
    content[at : at + 8] = struct.pack(">II", length * 25 // 40, begin + ticks)
    source.write_bytes(content)
    with av.open(str(source)) as file:
        expected = [frame.pts * frame.time_base for frame in file.decode(video=0)]
    video = open_video(source)
    assert [frame.time for frame in video] == list(video.times) == expected
    assert (len(expected), video.bad) == (25, [])


@pytest.mark.parametrize("sound", ["aac", "libmp3lame"])
def test_an_avi_with_empty_packets_and_frames_out_of_order_is_whole(tmp_path, sound):
    source = encode(tmp_path / "in.avi", _frames(40), options={"bf": "2", "crf": "1"}, sound=sound)
    times = [frame.time for frame in open_video(source)]
    assert times == sorted(times)
    assert len(times) == len({*times}) == 40
    levels = [int(frame.pixels[40, 5, 2]) for frame in open_video(source)]
    assert levels == sorted(levels)


def test_a_film_that_begins_late_is_whole(tmp_path):
    source = encode(tmp_path / "in.mkv", _frames(20), times=range(30, 50))
    assert open_video(source).length == 20


@pytest.mark.parametrize("kind", ["gray", "gray10le"])
def test_gray_of_limited_range_is_read_as_such(tmp_path, kind):
    white, dtype = (235 * 4, np.uint16) if "10" in kind else (235, np.uint8)
    with av.open(str(tmp_path / "in.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.codec_context.color_range = 48, 64, kind, 1
        for level in (white, 16 * white // 235):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64), level, dtype), format=kind)
            frame.color_range = 1
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    bright, dark = read_video(tmp_path / "in.mkv")[:, 0, 0]
    assert (bright, dark) == (65535 if "10" in kind else 255, 0)


def test_a_film_with_palettes_is_in_color(tmp_path):
    indices = np.zeros((48, 64), np.uint8)
    indices[:, 32:] = 1
    palette = np.zeros((256, 4), np.uint8)
    palette[:2] = [(255, 220, 120, 40), (255, 40, 60, 200)]
    with av.open(str(tmp_path / "in.avi"), "w") as file:
        stream = file.add_stream("rawvideo", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "pal8"
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray((indices, palette), format="pal8")))
        file.mux(stream.encode())
    assert read_video(tmp_path / "in.avi")[1, 5, [5, 60]].tolist() == [[220, 120, 40], [40, 60, 200]]


def test_a_film_with_alpha_beside_it_is_refused(tmp_path):
    with av.open(str(tmp_path / "in.webm"), "w") as file:
        stream = file.add_stream("libvpx-vp9", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for pixels in _frames(3):
            clear = np.dstack([pixels, np.full((48, 64), 99, np.uint8)])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(clear, format="rgba").reformat(format="yuva420p")))
        file.mux(stream.encode())
    with pytest.raises(ValueError, match=r"in\.webm is transparent by a second film: make pictures of it first"):
        open_video(tmp_path / "in.webm")


def test_a_file_without_pictures_is_told(tmp_path):
    with av.open(str(tmp_path / "in.mp4"), "w") as file:
        voice = file.add_stream("aac", rate=RATE, layout="mono")
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        heard.sample_rate = RATE
        file.mux(voice.encode(heard))
        file.mux(voice.encode())
    with pytest.raises(ValueError, match=r"in\.mp4 has no pictures: give a file with a film"):
        open_video(tmp_path / "in.mp4")


@pytest.mark.parametrize(("crf", "codec"), [(1, None), (40, None), (None, "libx265")])
def test_quality_and_codec_can_be_chosen(tmp_path, crf, codec):
    noise = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), np.uint8)
    write_video(tmp_path / "usual.mp4", noise, 25)
    write_video(tmp_path / "chosen.mp4", noise, 25, encoding=Encoding(codec, crf))
    usual, chosen = ((tmp_path / f"{name}.mp4").stat().st_size for name in ("usual", "chosen"))
    assert codec or (chosen > usual if crf == 1 else chosen < usual)
    assert probe(tmp_path / "chosen.mp4")["codec"] == ("hevc" if codec else "h264")


@pytest.mark.parametrize("codec", ["libx999", "libvpx"])
def test_a_codec_that_is_not_there_or_not_of_this_kind_is_one_clear_line(tmp_path, codec):
    with pytest.raises(ValueError, match=rf"codec={codec} can't be used"):
        write_video(tmp_path / "out.mp4", _frames(), 25, encoding=Encoding(codec))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        (Encoding(crf=-5), r"crf=-5 can't be used with libx264: choose another one, or null"),
        (Encoding("mpeg4", 3), r"codec=mpeg4 knows no crf=3: leave it out, or choose libx264"),
        (Encoding("mjpeg"), r"codec=mjpeg can't be used here"),
    ],
)
def test_a_quality_that_an_encoder_does_not_know_is_one_clear_line(tmp_path, encoding, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "out.mp4", _frames(), 25, encoding=encoding)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("lines", "kept"), [(144, 40), (1080, 20), (2160, 5), (4320, 1)])
def test_an_encoder_plans_fewer_large_frames_ahead(lines, kept):
    pixels = lines * lines * 16 // 9
    assert _options("libx264", Encoding(), pixels)["rc-lookahead"] == str(kept)
    planned = max(5, min(kept, 20))
    assert _options("libx265", Encoding(), pixels)["x265-params"].endswith(f":rc-lookahead={planned}")


def test_a_gif_of_240_frames_a_second_is_one_clear_line(tmp_path):
    with pytest.raises(ValueError, match="can't show 240 frames a second: browsers know at most 50; give fps=50, or"):
        write_video(tmp_path / "out.gif", _frames(), 240)
    assert not list(tmp_path.iterdir())
