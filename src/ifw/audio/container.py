"""Opening a file: which containers, which stream, how long. Runs in the worker process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import av
from av.audio.stream import AudioStream

from ifw.audio.frames import FrameReader
from ifw.errors import AudioDamagedError, AudioFormatError, AudioStreamError

if TYPE_CHECKING:
    from av.container import InputContainer

# FFmpeg's demuxers that read their own bytes and nothing else: no playlists, no image sequences, no devices.
FORMATS = (
    "wav,w64,aiff,au,caf,voc,mp3,aac,loas,ac3,eac3,dts,amr,amrnb,amrwb,flac,wv,ape,tta,tak,ogg,"
    "mov,matroska,webm,mpegts,mpeg,avi,asf,flv"
)
READABLE = "wav, mp3, m4a, aac, ogg, opus, flac, webm, mp4, mkv and other audio and video files; no playlists"

# The file is handed over as an object, so FFmpeg needs no protocol at all: it cannot open a path or an address.
_OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": ""}
_EXACT = ("pcm_", "mp1", "mp2", "mp3", "opus", "libopus", "vorbis", "flac", "alac", "wavpack", "tta", "ape", "tak")
_READ_BYTES = 1 << 18
_MAX_DURATION_S = 1e7  # a header that says more is no header


class DescriptorReader:
    """A file object over a shared descriptor, with a position of its own.

    Attributes:
        n_bytes: Size of the file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0
        self.n_bytes = os.fstat(descriptor).st_size

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def read(self, n_bytes: int) -> bytes:
        """Read up to `n_bytes` from the position on."""
        piece = os.pread(self._descriptor, n_bytes, self._position)
        self._position += len(piece)
        return piece

    def read_at(self, position: int, n_bytes: int) -> bytes:
        """Read without moving."""
        return os.pread(self._descriptor, n_bytes, max(position, 0))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; gives the new position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.n_bytes}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def tell(self) -> int:
        """Give the position."""
        return self._position


class AudioFile:
    """One open file, its audio stream, and a decoder that has seen nothing yet.

    Attributes:
        file: The bytes.
        container: The open container.
        stream: The audio stream.
        reader: The stream's frames.
        duration_s: Declared length of the file up to the end of the stream; None where there is none.
        origin_s: The container's time at which a player starts; None where it gives none.
    """

    def __init__(self, descriptor: int) -> None:
        """Open the file.

        Raises:
            AudioError: See `open_container` and `pick_stream`.
        """
        self._descriptor = descriptor
        self.file = DescriptorReader(descriptor)
        self.container = open_container(self.file)
        self.stream = pick_stream(self.container)
        self.reader = FrameReader(self.container, self.stream)
        start_time: int | None = self.container.start_time
        self.origin_s = None if start_time is None else start_time / av.time_base
        self.duration_s = self._declared_duration_s()

    @property
    def is_exact(self) -> bool:
        """Whether decoding from the middle gives the same samples bit for bit; AAC's noise depends on its past."""
        return self.stream.codec_context.name.startswith(_EXACT)

    def _declared_duration_s(self) -> float | None:
        duration_s = None
        stream, time_base = self.stream, self.stream.time_base
        if stream.duration is not None and time_base is not None:
            duration_s = float(stream.duration * time_base)
            if stream.start_time is not None and self.origin_s is not None:
                duration_s += max(float(stream.start_time * time_base) - self.origin_s, 0.0)
        elif self.container.duration is not None:
            duration_s = self.container.duration / av.time_base
        return duration_s if duration_s is not None and 0 < duration_s < _MAX_DURATION_S else None

    def reopened(self) -> AudioFile:
        """The same file with a fresh decoder."""
        self.container.close()
        return AudioFile(self._descriptor)


def open_container(file: DescriptorReader) -> InputContainer:
    """Open the container that the bytes are, whatever the file is called.

    Raises:
        AudioFormatError: No demuxer on the allow-list takes the bytes.
        AudioDamagedError: It is an MP4 whose index is missing or broken.
    """
    try:
        return av.open(file, "r", options=_OPEN_OPTIONS, buffer_size=_READ_BYTES, metadata_errors="replace")
    except (av.error.FFmpegError, MemoryError) as error:
        if file.read_at(4, 4) == b"ftyp":
            raise AudioDamagedError(
                "an MP4 file without a readable index (moov): it was cut short or damaged, and nothing can be decoded"
            ) from error
        raise AudioFormatError(f"the bytes are no container that is read here, allowed: {READABLE}") from error


def pick_stream(container: InputContainer) -> AudioStream:
    """Choose the audio stream that a player would play, and leave all others unread.

    Raises:
        AudioStreamError: There is none, or no decoder reads it.
        AudioDamagedError: What describes the stream is missing.
    """
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        if any(other.type == "audio" for other in container.streams):  # without a rate or channels, FFmpeg passes it by
            raise AudioDamagedError(
                "what describes the audio stream (rate, channels) is missing: the file was cut short or damaged, "
                "and nothing can be decoded"
            )
        found = ", ".join(other.type for other in container.streams) or "no streams at all"
        raise AudioStreamError(f"the file has no audio stream; it has: {found}")
    if stream.codec_context is None:
        raise AudioStreamError("no decoder reads the file's audio stream")
    stream.codec_context.thread_count = 1
    for other in container.streams:
        if other is not stream and hasattr(other, "discard"):  # PyAV 18 and later
            other.discard = type(other.discard).all
    return stream
