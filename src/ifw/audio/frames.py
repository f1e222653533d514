"""From packets to frames, past every packet that does not decode. Runs in the worker process."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import av

from ifw.errors import AudioStreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

MAX_CHANNELS = 64
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz


class FrameReader:
    """The frames of one stream.

    Attributes:
        n_packet_errors: Packets that did not decode; each was left out.
        is_cut: The bytes ended in the middle of a packet, or the container broke off.
    """

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._container = container
        self._stream = stream
        self.n_packet_errors = 0
        self.is_cut = False

    def frames(self) -> Iterator[AudioFrame]:
        """Decode from the current position to the end.

        Raises:
            AudioStreamError: A frame has an absurd number of channels or an absurd rate.
        """
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.FFmpegError:  # damaged AAC raises one that is also a builtin PermissionError
                self.n_packet_errors += 1
                continue
            for frame in frames:
                if frame.samples > 0:
                    yield _checked(frame)

    def seek(self, pts: int) -> None:
        """Move to the last place that can be decoded from, at or before `pts`.

        Raises:
            av.error.FFmpegError: The container cannot do that.
        """
        self._container.seek(pts, stream=self._stream)

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        packets = self._container.demux(self._stream)
        try:
            for packet in packets:
                if packet.size:
                    self.is_cut = packet.is_corrupt  # of the last one: the reader wanted more bytes than there were
                yield packet
        except av.error.FFmpegError:
            self.is_cut = True


def with_first(frames: Iterator[AudioFrame]) -> tuple[AudioFrame | None, Iterator[AudioFrame]]:
    """Look at the first frame without losing it."""
    first = next(frames, None)
    return (None, frames) if first is None else (first, itertools.chain([first], frames))


def _checked(frame: AudioFrame) -> AudioFrame:
    n_channels = frame.layout.nb_channels
    if not 1 <= n_channels <= MAX_CHANNELS or not MIN_RATE <= frame.sample_rate <= MAX_RATE:
        raise AudioStreamError(
            f"the audio has {n_channels} channels at {frame.sample_rate} Hz, "
            f"allowed: 1 to {MAX_CHANNELS} channels at {MIN_RATE} to {MAX_RATE} Hz"
        )
    return frame
