"""A decoder process: reads the file on its standard input, writes messages to its standard output.

It lives apart from the caller's process because a damaged or hostile file may crash or bloat a decoder, and because
decoding threads would compete with the caller's for Python's lock. It ends as soon as nobody reads its output.
"""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import signal
import sys
import threading
from typing import TYPE_CHECKING

import av.logging

from ifw.audio.assignment import Assignment
from ifw.audio.clip_decoder import ClipDecoder
from ifw.audio.container import AudioFile
from ifw.audio.damage import is_cut_short, promised_s, report
from ifw.audio.frames import with_first
from ifw.audio.resample import MONO, Shape
from ifw.audio.slices import LEAD_S, SEAM_S, Grid, SliceDecoder, UnsafeSliceError, draw_grid
from ifw.audio.timeline import Timeline
from ifw.audio.wire import Header, Kind, pack_error, pack_warnings, write_message
from ifw.errors import AudioDamagedError, AudioEmptyError, AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame

_MAX_MEMORY_BYTES = 4 << 30  # of address space; a decoder that needs more is being attacked
_READ_AHEAD_CHUNKS = 120  # seconds of audio that wait for the reader


class Outbox:
    """Messages on their way out: decoding goes on while the reader is busy, up to a bound."""

    def __init__(self, descriptor: int) -> None:
        self._queue: queue.Queue[tuple[Kind, bytes] | None] = queue.Queue(_READ_AHEAD_CHUNKS)
        self._thread = threading.Thread(target=self._write, args=(descriptor,), daemon=True)
        self._thread.start()

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Queue a message; waits while the reader is far behind."""
        self._queue.put((kind, payload))

    def close(self) -> None:
        """Wait until everything is written."""
        self._queue.put(None)
        self._thread.join()

    def _write(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "wb") as pipe:
            while message := self._queue.get():
                try:
                    write_message(pipe, *message)
                except OSError:  # nobody reads any more
                    os._exit(0)


class AssignedDecoder:
    """One file, decoded as its assignment says."""

    def __init__(self, file: AudioFile, assignment: Assignment, outbox: Outbox) -> None:
        self._file = file
        self._assignment = assignment
        self._outbox = outbox
        self._shape = MONO

    def run(self) -> None:
        """Send the header and everything that was asked for.

        Raises:
            AudioError: The file gives no samples.
        """
        first, frames = with_first(self._file.reader.frames())
        if first is None:
            raise self._nothing()
        if self._assignment.is_split:
            self._shape = Shape.split(first)
        grid = draw_grid(self._file, first, self._assignment)
        n_slices = grid.n_slices if grid else 1
        header = Header(self._file.duration_s, n_slices, self._file.is_exact, self._shape.n_channels)
        self._outbox.send(Kind.HEADER, header.to_bytes())
        if self._assignment.clip:
            self._send_clips(first, frames)
        elif grid is None:
            self._send_all(frames)
        else:
            self._send_slices(frames, grid)

    def _nothing(self) -> AudioError:
        reader = self._file.reader
        if reader.n_packet_errors or reader.is_cut:
            return AudioDamagedError(
                f"nothing could be decoded: all {reader.n_packet_errors} packets of the audio are damaged"
            )
        return AudioEmptyError("the audio stream has no samples")

    def _send_all(self, frames: Iterator[AudioFrame]) -> None:
        timeline = Timeline(self._file.origin_s, self._file.duration_s, self._shape)
        n_skip_bytes = self._assignment.skip_samples * self._shape.sample_bytes
        for chunk in timeline.converted(frames):
            if n_skip_bytes < len(chunk):
                self._outbox.send(Kind.SAMPLES, chunk[n_skip_bytes:])
            n_skip_bytes = max(n_skip_bytes - len(chunk), 0)
        self._send_finished(self._file, timeline.decoded_s, timeline.filled_s, timeline.position_s)

    def _send_slices(self, frames: Iterator[AudioFrame], grid: Grid) -> None:
        decoder = SliceDecoder(self._file, frames, grid, self._shape)
        n_seam_bytes = int(SEAM_S * self._shape.chunk_bytes)
        for index in range(self._assignment.index, grid.n_slices, self._assignment.n_workers):
            try:
                for n_chunk, chunk in enumerate(decoder.chunks(index)):
                    if index and n_chunk < LEAD_S:
                        self._outbox.send(Kind.SEAM, chunk[-n_seam_bytes:])
                    else:
                        self._outbox.send(Kind.SAMPLES, chunk)
            except UnsafeSliceError as reason:
                self._outbox.send(Kind.UNSAFE, str(reason).encode())
                return
            if index == grid.n_slices - 1:
                self._send_finished(decoder.file, decoder.end_s, 0.0, decoder.end_s)
            else:
                self._outbox.send(Kind.SLICE_END)

    def _send_clips(self, first: AudioFrame, frames: Iterator[AudioFrame]) -> None:
        decoder = ClipDecoder(self._file, first, frames, self._shape)
        n_bytes = 0
        for chunk in decoder.chunks(self._assignment.clip):
            self._outbox.send(Kind.SAMPLES, chunk)
            n_bytes += len(chunk)
        file, is_open = decoder.file, self._assignment.clip[-1][1] is None
        warnings = report(
            n_packet_errors=file.reader.n_packet_errors,
            decoded_s=n_bytes / self._shape.chunk_bytes,
            filled_s=0.0,
            missing_s=0.0,
            is_cut=is_open and is_cut_short(file),
        )
        self._outbox.send(Kind.FINISHED, pack_warnings(warnings))

    def _send_finished(self, file: AudioFile, decoded_s: float, filled_s: float, end_s: float) -> None:
        promised = promised_s(file)
        warnings = report(
            n_packet_errors=file.reader.n_packet_errors,
            decoded_s=decoded_s,
            filled_s=filled_s,
            missing_s=0.0 if promised is None else promised - end_s,
            is_cut=is_cut_short(file),
        )
        self._outbox.send(Kind.FINISHED, pack_warnings(warnings))


def main() -> None:
    """Decode what the last command-line argument says."""
    work(sys.argv[-1])


def work(assignment: str) -> None:
    """Decode the file on standard input, once in the life of this process.

    Args:
        assignment: JSON of an `Assignment`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the reader's to handle
    with contextlib.suppress(OSError, ValueError):  # a lower limit is set already, or the system has none
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    av.logging.set_level(None)
    outbox = Outbox(os.dup(1))
    os.dup2(2, 1)  # whatever else prints must not get between the messages
    try:
        AssignedDecoder(AudioFile(0), Assignment.from_json(assignment), outbox).run()
    except AudioError as error:
        outbox.send(Kind.ERROR, pack_error(error.code, str(error)))
    except MemoryError:
        message = f"decoding needs more than {_MAX_MEMORY_BYTES >> 30} GB of memory; the file is damaged or hostile"
        outbox.send(Kind.ERROR, pack_error(AudioDamagedError.code, message))
    except av.error.FFmpegError as error:
        outbox.send(Kind.ERROR, pack_error(AudioDamagedError.code, f"FFmpeg gave up on the file: {error}"))
    outbox.close()
