"""What the routes and the worker talk to: the loaded checkpoint, work that is waited for, and durable tasks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ifw.cancellation import CancelToken
from ifw.config import TranscribeOptions
from ifw.errors import ConfigError, IfwError, NotReadyError
from ifw.service.live import LiveWork
from ifw.service.loading import LoadedModel
from ifw.service.metrics import Kind, ServiceMetrics, StateCollector
from ifw.types import Segment, Transcript

if TYPE_CHECKING:
    from ifw.audio import AudioSource
    from ifw.engine.request import EngineStats
    from ifw.service.settings import Settings
    from ifw.transcriber import Transcriber

LIVE_PRIORITY = 10
"""Somebody waits for it: its windows go before those of tasks, whose priorities are lower unless asked for."""


class Service:
    """One checkpoint and everything that uses it. All methods may be called from any thread.

    Args:
        settings: See there.

    Attributes:
        settings: As given.
        model: The checkpoint, which is loaded in the background.
        metrics: What it has done, in numbers.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.model = LoadedModel(settings)
        self._live = LiveWork(settings.max_sync, settings.max_sync_waiting)
        self._draining = threading.Event()
        self._tokens: set[CancelToken] = set()
        self._lock = threading.Lock()
        self.metrics = ServiceMetrics()
        self.metrics.registry.register(
            StateCollector(self._engine_stats, lambda: self.n_live, dict, lambda: self.model.status.state == "ready")
        )

    def start(self) -> None:
        """Begin to load the checkpoint; returns at once.

        Raises:
            ConfigError: The data folder cannot be used.
        """
        folder = self.settings.data_dir
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"IFW_DATA_DIR: {folder} cannot be made: {error.strerror}") from None
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(f"IFW_DATA_DIR: {folder} cannot be written to")
        self.model.start()

    @property
    def transcriber(self) -> Transcriber:
        """The loaded checkpoint.

        Raises:
            NotReadyError: It is not there (yet).
        """
        return self.model.get()

    @property
    def is_draining(self) -> bool:
        """Whether the process was asked to end: streams of events should end now, readiness is false."""
        return self._draining.is_set()

    @property
    def n_live(self) -> int:
        """Synchronous transcriptions that run or wait."""
        return self._live.n_accepted

    def transcribe_now(
        self,
        source: AudioSource,
        options: TranscribeOptions,
        *,
        priority: int = LIVE_PRIORITY,
        cancel: CancelToken | None = None,
        on_segment: Callable[[Segment], None] | None = None,
    ) -> Future[Transcript]:
        """Transcribe while somebody waits. Returns at once; a thread of the service's own does the work.

        Args:
            source: The audio file; it must stay until the future is done. Errors show its name.
            options: What to do. The longest audio is that of the settings.
            priority: Of its windows in the engine.
            cancel: Cancel it when nobody waits any more.
            on_segment: Called in the service's thread with each segment as soon as it is final.

        Returns:
            The transcript; it raises what `Transcriber.transcribe` raises.

        Raises:
            NotReadyError: The checkpoint is not loaded, or the server is shutting down.
            QueueFullError: Too many are waited for already.
        """
        transcriber, token = self.transcriber, cancel or CancelToken()
        options = self.bounded(options)

        def work() -> Transcript:
            started = time.perf_counter()
            with self._counted("live"):
                transcription = transcriber.stream(source, options, cancel=token, priority=priority)
                for segment in transcription:
                    if on_segment is not None:
                        on_segment(segment)
            self.metrics.transcribed("live", transcription.transcript, time.perf_counter() - started)
            return transcription.transcript

        with self._lock:
            self._tokens.add(token)
        try:
            future = self._live.submit(work)
        except IfwError:
            self._forget(token)
            raise
        future.add_done_callback(lambda done: self._forget(token))
        return future

    @contextmanager
    def _counted(self, kind: Kind) -> Iterator[None]:
        """Count a transcription that fails."""
        try:
            yield
        except IfwError as error:
            self.metrics.ended(kind, error.code)
            raise
        except Exception:
            self.metrics.ended(kind, "internal")
            raise

    def _forget(self, token: CancelToken) -> None:
        with self._lock:
            self._tokens.discard(token)

    def _engine_stats(self) -> EngineStats | None:
        try:
            return self.model.get().stats()
        except NotReadyError:
            return None

    def bounded(self, options: TranscribeOptions) -> TranscribeOptions:
        """The same options with the longest audio that the settings allow."""
        max_duration_s = min(options.audio.max_duration_s, self.settings.max_audio_s)
        return replace(options, audio=replace(options.audio, max_duration_s=max_duration_s))

    def drain(self) -> None:
        """Begin to end: readiness is false and streams of events end; running work goes on. Harmless if repeated."""
        self._draining.set()

    def close(self) -> None:
        """End what still runs and free the device."""
        self.drain()
        self._live.close()
        with self._lock:
            tokens = list(self._tokens)
        for token in tokens:
            token.cancel()
        self.model.close()
