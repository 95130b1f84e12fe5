"""The sound of a video, copied from file to file as it is, without decoding it."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av


class Sound:
    """All sound of a file, on its way into another one.

    Args:
        source: the file that has it; None is silence.
        begin: time in it, in seconds, at which the other one begins; None is its own beginning.
        end: where to stop; None is its end.
    """

    def __init__(self, source: Path | None, begin: Fraction | None = None, end: Fraction | None = None) -> None:
        self.source, self.begin, self.end = source, begin, end
        self.left_out: list[str] = []  # what the other file can't hold, in words
        self._container: Any = None
        self._packets: Iterator[Any] = iter(())
        self._next: Any = None
        self._output: Any = None
        self._streams: dict[int, Any] = {}

    def join(self, output: Any, kind: str) -> None:
        """Add the streams to a container of that kind that is being written, before its first frame."""
        if self.source is None:
            return
        self._output, self._container = output, av.open(self.source.absolute())
        for stream in self._container.streams.audio:
            if stream.codec_context is None:
                self.left_out.append("its sound by a codec that is not known here is left out")
            elif stream.codec_context.name in output.supported_codecs:
                self._streams[stream.index] = output.add_stream_from_template(stream)
                self._streams[stream.index].metadata.update(stream.metadata)  # its language
            else:
                self.left_out.append(
                    f"its sound by {stream.codec_context.name} is left out, since {kind} can't hold it"
                )
        taken = [self._container.streams[index] for index in self._streams]
        self._packets = self._container.demux(taken) if taken else iter(())
        self._next = next(self._packets, None)

    def copy(self, until: Fraction | None) -> None:
        """Copy what is heard before a time of the other file; None is all that is left."""
        begin = self.begin or Fraction(0)
        while self._next is not None:
            packet, base = self._next, Fraction(self._next.time_base)
            if packet.size and packet.pts is not None:
                time = packet.pts * base
                if until is not None and time - begin >= until:
                    return
                if (self.begin is None or time >= begin) and (self.end is None or time < self.end):
                    self._shifted(packet, round(begin / base))
            self._next = next(self._packets, None)

    def _shifted(self, packet: Any, ticks: int) -> None:
        packet.pts -= ticks
        packet.dts = packet.pts if packet.dts is None else packet.dts - ticks
        packet.stream = self._streams[packet.stream.index]
        self._output.mux(packet)

    def close(self) -> None:
        """Let go of the source."""
        if self._container is not None:
            self._container.close()
