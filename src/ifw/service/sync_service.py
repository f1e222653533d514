"""Work that somebody waits for: transcriptions and downloads. It needs no database and no web framework."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, TypeVar

from ifw.cancellation import CancelToken
from ifw.config import TranscribeOptions
from ifw.errors import IfwError
from ifw.fetch import Fetched, fetch
from ifw.service.limits import bounded, fetch_options, require_diarization
from ifw.service.loading import LoadedModel
from ifw.service.metrics import ServiceMetrics
from ifw.service.sync_work import SYNC_PRIORITY, SyncWork
from ifw.types import Segment, Transcript

if TYPE_CHECKING:
    from pathlib import Path

    from ifw.audio import AudioSource
    from ifw.service.settings import Settings
    from ifw.transcriber import Transcriber

_T = TypeVar("_T")

MAX_PREPARING: Final = 4
"""Threads of `SyncService.prepare_now`, whose work needs the device, and memory for what a client has sent."""


class SyncService:
    """One checkpoint, and what waits for it. All methods may be called from any thread.

    Args:
        settings: See there.

    Attributes:
        settings: As given.
        model: The checkpoint, which `model.start()` loads in the background.
        metrics: What it has done, in numbers.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.model = LoadedModel(settings)
        self.metrics = ServiceMetrics()
        self._sync = SyncWork(settings.max_sync, settings.max_sync_waiting)
        self._downloads = SyncWork(settings.max_sync, settings.max_sync_waiting)  # slow ones hold up no transcription
        self._preparations = SyncWork(min(settings.max_sync, MAX_PREPARING), settings.max_sync_waiting)
        self._tokens: set[CancelToken] = set()
        self._lock = threading.Lock()

    @property
    def transcriber(self) -> Transcriber:
        """The loaded checkpoint.

        Raises:
            NotReadyError: It is not there (yet).
        """
        return self.model.get()

    @property
    def n_sync(self) -> int:
        """Synchronous transcriptions that run or wait."""
        return self._sync.n_accepted

    def require_room(self) -> None:
        """Refuse what `transcribe_now` would refuse now, before its audio is there.

        Raises:
            NotReadyError: The checkpoint is not loaded, or the server is shutting down.
            QueueFullError: Too many are waited for already.
        """
        self.model.get()
        self._sync.require_room()

    def transcribe_now(
        self,
        source: AudioSource,
        options: TranscribeOptions,
        *,
        priority: int = SYNC_PRIORITY,
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
            DiarizationError: Speakers are asked for, and there is no diarization model.
        """
        require_diarization(self.settings, options)
        transcriber, token = self.transcriber, cancel or CancelToken()
        options = bounded(options, self.settings.max_audio_s)

        def work() -> Transcript:
            started = time.perf_counter()
            with self.metrics.counted("sync"):
                transcription = transcriber.stream(source, options, cancel=token, priority=priority)
                for segment in transcription:
                    if on_segment is not None:
                        on_segment(segment)
            self.metrics.transcribed("sync", transcription.transcript, time.perf_counter() - started)
            return transcription.transcript

        return self._submit(self._sync, work, token)

    def fetch_now(self, url: str, target: Path, *, cancel: CancelToken) -> Future[Fetched]:
        """Download what somebody waits for. Returns at once; a thread of the service's own does the work.

        Args:
            url: Where the audio is.
            target: See `ifw.fetch.fetch`, in whose folder parts of the file may be left.
            cancel: Cancel it when nobody waits any more.

        Returns:
            The file; it raises what `ifw.fetch.fetch` raises.

        Raises:
            NotReadyError: The server is shutting down.
            QueueFullError: Too many are waited for already.
        """
        options = fetch_options(self.settings)
        return self._submit(self._downloads, lambda: fetch(url, target, options, cancel=cancel), cancel)

    def prepare_now(self, work: Callable[[], _T], *, cancel: CancelToken) -> Future[_T]:
        """Do what must be done before something can be transcribed that somebody waits for.

        Args:
            work: Some seconds of work, for a thread of the service's own.
            cancel: Is cancelled when the service ends.

        Returns:
            What `work` returns; it raises what that raises.

        Raises:
            NotReadyError: The server is shutting down.
            QueueFullError: Too many are waited for already.
        """
        return self._submit(self._preparations, work, cancel)

    def _submit(self, pool: SyncWork, work: Callable[[], _T], token: CancelToken) -> Future[_T]:
        """Have a thread do it; the end of the service cancels the token."""
        with self._lock:
            self._tokens.add(token)
        try:
            future = pool.submit(work)
        except IfwError:
            self._forget(token)
            raise
        future.add_done_callback(lambda done: self._forget(token))
        return future

    def _forget(self, token: CancelToken) -> None:
        with self._lock:
            self._tokens.discard(token)

    @property
    def _is_loaded(self) -> bool:
        return self.model.status.state == "ready"

    def check(self, options: TranscribeOptions) -> None:
        """Refuse what cannot be done here, before a task is made of it.

        Of the checkpoint nothing is known before it is loaded.

        Raises:
            DiarizationError: Speakers are asked for, and there is no diarization model.
            LanguageError: It does not know the language.
            ModeError: It cannot translate.
            PromptError: A prompt is no text, or too long.
        """
        require_diarization(self.settings, options)
        if self._is_loaded:
            self.transcriber.check(options)

    def close(self) -> None:
        """Cancel what somebody waits for, and free the device."""
        self.cancel_all()
        self.model.close()

    def cancel_all(self) -> None:
        """Refuse new work, and cancel what runs and waits."""
        self._sync.close()
        self._downloads.close()
        self._preparations.close()
        with self._lock:
            tokens = list(self._tokens)
        for token in tokens:
            token.cancel()
