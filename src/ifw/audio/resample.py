"""Any PCM frames to float32 at 16 kHz, mixed to mono or not, a second at a time. Runs in the worker process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
from av.audio.frame import AudioFrame
from av.filter import Graph

from ifw.constants import SAMPLE_RATE
from ifw.errors import AudioStreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SPLIT_CHANNELS = 8
_LAYOUTS_FFMPEG_KNOWS = 8  # channels up to which a layout without a name has a default one


@dataclass(frozen=True, slots=True)
class Shape:
    """What samples come out as.

    Attributes:
        layout: FFmpeg's name of the channels.
        n_channels: How many they are; their samples lie interleaved.
    """

    layout: str = "mono"
    n_channels: int = 1

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return 4 * self.n_channels

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a second."""
        return SAMPLE_RATE * self.sample_bytes

    @classmethod
    def split(cls, frame: AudioFrame) -> Shape:
        """All channels of a file whose first frame this is.

        Raises:
            AudioStreamError: They are too many.
        """
        n_channels = frame.layout.nb_channels
        if n_channels > MAX_SPLIT_CHANNELS:
            raise AudioStreamError(
                f"channels: the audio has {n_channels}, allowed with 'split': 1 to {MAX_SPLIT_CHANNELS}; use 'mix'"
            )
        return cls(frame.layout.name, n_channels)


MONO = Shape()


class Resampler:
    """One FFmpeg filter graph.

    Output sample k lies at k / 16000 s after the first sample that goes in: FFmpeg steps through the input in exact
    fractions, so a second resampler that starts a whole number of seconds later gives the same samples, as soon as
    its filter (a few milliseconds) has filled. Channels are mixed with FFmpeg's standard weights, scaled so that
    the mix never exceeds full scale; without the scaling two equal channels come out 1.4 times too loud.
    """

    def __init__(self, frame: AudioFrame, n_skip: int = 0, shape: Shape = MONO) -> None:
        """Build the graph for frames like this one.

        Args:
            frame: Gives rate, sample format and channel layout.
            n_skip: Samples at the input rate to drop first.
            shape: What comes out.

        Raises:
            AudioStreamError: FFmpeg cannot mix this channel layout.
        """
        self._input = _input_of(frame)
        self._sample_bytes = shape.sample_bytes
        self._graph = graph = Graph()
        rate, sample_format, layout = self._input
        chain = [
            graph.add(
                "abuffer", sample_rate=str(rate), sample_fmt=sample_format, channel_layout=layout, time_base=f"1/{rate}"
            )
        ]
        if n_skip:
            chain.append(graph.add("atrim", start_sample=str(n_skip)))
        n_channels = frame.layout.nb_channels
        if n_channels > _LAYOUTS_FFMPEG_KNOWS and shape.n_channels == 1:
            mean = "+".join(f"{1 / n_channels:.8f}*c{channel}" for channel in range(n_channels))
            chain.append(graph.add("pan", f"mono|c0={mean}"))
        chain.append(
            graph.add(
                "aresample", osr=str(SAMPLE_RATE), ochl=shape.layout, osf="flt", tsf="fltp", rematrix_maxval="1.0"
            )
        )
        chain.append(graph.add("abuffersink"))
        graph.link_nodes(*chain)
        try:
            graph.configure()
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioStreamError(
                f"the channel layout {layout!r} at {rate} Hz cannot be turned into {shape.layout}"
            ) from error
        graph.set_audio_frame_size(SAMPLE_RATE)
        self._rate = rate
        self._n_pending = -n_skip  # input samples that no chunk covers yet

    def takes(self, frame: AudioFrame) -> bool:
        """Whether the frame is like the one that this was made for."""
        return self._input == _input_of(frame)

    def push(self, frame: AudioFrame | None) -> Iterator[bytes]:
        """Feed a frame, or None at the end.

        Yields:
            Chunks of exactly one second; after None the rest.
        """
        if frame is not None:
            frame.pts = None
            self._n_pending += frame.samples
        self._graph.push(frame)
        while frame is None or self._n_pending >= self._rate:  # to ask in vain is slow
            try:
                chunk = self._graph.pull()
            except (EOFError, BlockingIOError):  # at the end; the filter still holds a few samples back
                return
            assert isinstance(chunk, AudioFrame)
            self._n_pending -= self._rate
            yield bytes(chunk.planes[0])[: chunk.samples * self._sample_bytes]


def _input_of(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name
