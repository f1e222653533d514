"""Audio that arrives in blocks while it is still being decoded."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ifw.audio.assignment import Slicing
from ifw.audio.clip import clipped_s, shortfall
from ifw.audio.decoder_process import launch_fresh
from ifw.audio.feed import SampleFeed, Samples
from ifw.audio.source import AudioSource, ByteSource, open_source
from ifw.config import AudioOptions
from ifw.constants import SAMPLE_RATE
from ifw.errors import AudioError, AudioTooLongError, CancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from ifw.audio.decoder_process import Launch
    from ifw.cancellation import CancelToken
    from ifw.types import TranscriptWarning

_T = TypeVar("_T")
_OPTIONS = AudioOptions()
_SLICING = Slicing()


def open_stream(
    source: AudioSource,
    options: AudioOptions = _OPTIONS,
    *,
    slicing: Slicing = _SLICING,
    cancel: CancelToken | None = None,
    launch: Launch = launch_fresh,
) -> AudioStream:
    """Open audio or video and start to decode it.

    Args:
        source: A path, bytes, or a binary file object, which is read from its position on.
        options: Length cap, workers, block length.
        slicing: When several workers share one file.
        cancel: Ends the copying of a file object; to end what comes later, close the stream.
        launch: Starts decoder processes.

    Returns:
        The stream; close it, or use it as a context manager.

    Raises:
        AudioNotFoundError: There is no such file, or it is a URL, a directory, a pipe, a device.
        AudioEmptyError: There are no bytes, or no samples.
        AudioFormatError: The bytes are no container on the allow-list; playlists never are.
        AudioStreamError: There is no audio stream that can be decoded.
        AudioDamagedError: Nothing could be decoded, or the decoder crashed.
        AudioTooLongError: A file object that is no plain file gives more than `options.max_stream_bytes`.
        CancelledError: `cancel` was cancelled.
        ConfigError: The source is of another type.
    """
    opened = open_source(source, options, cancel)
    try:
        return AudioStream(opened, options, slicing, launch)
    except BaseException:
        opened.close()
        raise


class AudioStream:
    """An iterator of blocks of samples, made by `open_stream`.

    Workers decode ahead by at most a few minutes of audio and then wait, so memory stays flat however long the file
    is. Leaving the context, the end of the audio, an error, and `close` all end them at once.

    Attributes:
        fingerprint: What tells the file from others.

    Example:
        >>> with open_stream("talk.mp3") as stream:  # doctest: +SKIP
        ...     for block in stream:
        ...         print(len(block) / 16_000)
    """

    def __init__(self, source: ByteSource, options: AudioOptions, slicing: Slicing, launch: Launch) -> None:
        self._name = source.name
        self.fingerprint = source.fingerprint()
        self._options = options
        self._reading = threading.Lock()  # held while this thread waits for a worker
        self._is_closed = False
        self._is_finished = False
        self._n_samples = 0
        self._feed = self._named(lambda: SampleFeed(source.descriptor, options, slicing, launch))
        self._chunks = self._feed.chunks()
        self._rest = self._empty(0)
        self._release = weakref.finalize(self, _release, self._feed, source)

    @property
    def duration_s(self) -> float | None:
        """Length that the container declares, which may be wrong; None where it declares none. Of a clip: its own."""
        declared_s = self._feed.header.duration_s
        return None if declared_s is None else clipped_s(self._options.clip, declared_s)

    @property
    def n_channels(self) -> int:
        """Channels of the blocks: those of the file with `split`, else 1."""
        return self._feed.header.n_channels

    @property
    def warnings(self) -> tuple[TranscriptWarning, ...]:
        """What is wrong with the audio; complete after the last block.

        `audio_damaged_packets`: some packets did not decode. `audio_truncated`: the end is missing.
        `clip_past_end`: the audio ends before the clip does.
        """
        past_end = shortfall(self._options.clip, self._n_samples) if self._options.clip and self._is_finished else ()
        return (*self._feed.warnings, *past_end)

    @property
    def is_sliced(self) -> bool:
        """Whether the file is decoded in time slices, and was to its end."""
        return self._feed.header.n_slices > 1 and self._feed.doubt is None

    def __iter__(self) -> Iterator[Samples]:
        """Yield the blocks, each [options.block_s * 16000] float32 mono in [-1, 1]; the last may be shorter.

        With `channels="split"` they are [n, n_channels]. The stretches of a clip follow one another without a gap.

        Raises:
            AudioTooLongError: There is more audio than `options.max_duration_s`.
            AudioDamagedError: The decoder crashed.
            CancelledError: The stream was closed before its end.
        """
        n_block = round(self._options.block_s * SAMPLE_RATE)
        while not self._is_finished:
            try:
                block = self._next_block(n_block)
            except BaseException:
                self.close()
                raise
            self._is_finished = len(block) < n_block
            if len(block):
                yield block
        self.close()  # after the last block was heard, when the worker has ended and nobody needs to wait for it

    def close(self) -> None:
        """End the workers at once; from any thread, any number of times.

        A thread that waits for a block then gets a `CancelledError`.
        """
        self._is_closed = True
        self._feed.cancel()
        with self._reading:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_block(self, n_block: int) -> Samples:
        """Fill a block; a short one is the last."""
        block = self._empty(n_block)
        n_filled = 0
        while n_filled < n_block:
            if not len(self._rest):
                chunk = self._next_chunk()
                if chunk is None:
                    break
                self._rest = chunk
            n_taken = min(n_block - n_filled, len(self._rest))
            block[n_filled : n_filled + n_taken] = self._rest[:n_taken]
            self._rest = self._rest[n_taken:]
            n_filled += n_taken
        return _bounded(block[:n_filled])

    def _empty(self, n_samples: int) -> Samples:
        is_split = self._options.channels == "split"
        return np.empty((n_samples, self.n_channels) if is_split else n_samples, np.float32)

    def _next_chunk(self) -> Samples | None:
        with self._reading:
            if self._is_closed:
                raise CancelledError(f"{self._name}: the audio stream was closed before its end")
            chunk = self._named(lambda: next(self._chunks, None))
        if chunk is not None:
            self._n_samples += len(chunk)
            if self._n_samples > self._options.max_duration_s * SAMPLE_RATE:
                raise AudioTooLongError(
                    f"{self._name}: got more than {self._options.max_duration_s:g} s of audio, "
                    f"allowed: max_duration_s = {self._options.max_duration_s:g}"
                )
        return chunk

    def _named(self, work: Callable[[], _T]) -> _T:
        """Put the name of the source before every message."""
        try:
            return work()
        except AudioError as error:
            if self._is_closed:
                raise CancelledError(f"{self._name}: the audio stream was closed before its end") from error
            raise type(error)(f"{self._name}: {error}") from error


def _release(feed: SampleFeed, source: ByteSource) -> None:
    feed.close()
    source.close()


def _bounded(block: Samples) -> Samples:
    """Keep to [-1, 1]: float files may hold anything, infinities and NaN included."""
    np.clip(block, -1.0, 1.0, out=block)
    return np.nan_to_num(block, copy=False, nan=0.0)
