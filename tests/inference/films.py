"""Video files by FFmpeg alone: written for tests of what reads them, and asked for what it says of them."""

from fractions import Fraction

import av
import numpy as np

RATE = 48_000  # of sound, in samples per second


def encode(path, frames, codec="libx264", kind="yuv420p", rate=25, times=None, sound=None, **settings):
    """Write a file by FFmpeg alone; times are in units of 1/rate."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], kind
        stream.codec_context.time_base = Fraction(1, rate)
        stream.codec_context.options = settings.pop("options", {"crf": "1"} if codec == "libx264" else {})
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        voice = file.add_stream(sound, rate=RATE, layout="stereo") if sound else None
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        for start in range(0, RATE * len(frames) // rate if voice else 0, 1024):
            wave = np.sin((start + np.arange(1024)) / 20).astype(np.float32)[None].repeat(2, 0) / 2
            heard = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = RATE, start, Fraction(1, RATE)
            file.mux(voice.encode(heard))
        if voice:
            file.mux(voice.encode())
    return path


def probe(path):
    """Return what FFmpeg says of a file, beside its pixels."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        context, aspect = stream.codec_context, stream.sample_aspect_ratio or 1
        found = {"aspect": aspect, "kind": context.pix_fmt, "codec": context.name}
        times = [frame.pts * frame.time_base for frame in file.decode(stream)]
        found |= {"times": times, "matrix": context.colorspace}
        found |= {"colors": (context.color_primaries, context.color_trc), "duration": stream.duration}
        found["length"] = file.duration
    with av.open(str(path)) as file:
        heard = [frame.to_ndarray() for frame in file.decode(audio=0)] if file.streams.audio else []
        found["sound"] = np.concatenate(heard, -1) if heard else None
    return found
