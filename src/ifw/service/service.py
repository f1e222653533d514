"""What the routes and the worker talk to: the loaded checkpoint, work that is waited for, and durable tasks."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from ifw.cancellation import CancelToken
from ifw.config import TranscribeOptions
from ifw.errors import ConfigError, DatabaseError, IfwError, NotReadyError
from ifw.fetch import Fetched, fetch
from ifw.service.database_probe import DatabaseProbe
from ifw.service.events import EventBodies
from ifw.service.loading import LoadedModel
from ifw.service.metrics import ServiceMetrics, StateCollector
from ifw.service.payload import bounded
from ifw.service.stages import TaskStages, fetch_options
from ifw.service.sync_work import SYNC_PRIORITY, SyncWork
from ifw.tasks import TaskOptions, Tasks, TaskStats
from ifw.types import Segment, Transcript

if TYPE_CHECKING:
    from pathlib import Path

    from ifw.audio import AudioSource
    from ifw.engine.request import EngineStats
    from ifw.service.settings import Settings
    from ifw.transcriber import Transcriber

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_RETRY_S: Final = 5.0


class Service:
    """One checkpoint and everything that uses it. All methods may be called from any thread.

    Args:
        settings: See there.

    Attributes:
        settings: As given.
        model: The checkpoint, which is loaded in the background.
        metrics: What it has done, in numbers.
        database: Says whether that of the tasks answers.
        tasks: The durable tasks; their payloads are made by `ifw.service.payload.make_payload`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.model = LoadedModel(settings)
        self._sync = SyncWork(settings.max_sync, settings.max_sync_waiting)
        self._downloads = SyncWork(settings.max_sync, settings.max_sync_waiting)  # slow ones hold up no transcription
        self._draining = threading.Event()
        self._tokens: set[CancelToken] = set()
        self._lock = threading.Lock()
        self.metrics = ServiceMetrics()
        self.tasks = Tasks(
            TaskStages(settings, self.model, self.metrics).stages(),
            task_options(settings),
            EventBodies(self._result, settings.model_name),
        )
        self.database = DatabaseProbe(self.tasks.ping)
        self._is_started = False
        self.metrics.registry.register(
            StateCollector(self._engine_stats, lambda: self.n_sync, self._task_stats, lambda: self._is_loaded)
        )

    def start(self, works: bool | None = None) -> None:
        """Open the tasks, and begin to load the checkpoint, without waiting for it.

        Tasks are worked on from the moment that it is loaded: until then others may take them, who can. Harmless where
        it has been called.

        Args:
            works: Whether this process works on tasks; None leaves it to the settings.

        Raises:
            ConfigError: The data folder cannot be made.
            DataDirError: The data folder cannot be used, such as while another process uses it.
            DatabaseError: The database does not answer.
        """
        if self._is_started:
            return
        folder = self.settings.data_dir
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"IFW_DATA_DIR: {folder} cannot be made: {error.strerror}") from None
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(f"IFW_DATA_DIR: {folder} cannot be written to")
        self.tasks.start(works=False)
        self._is_started = True
        self.model.start()
        if self.settings.run_tasks if works is None else works:
            threading.Thread(target=self._work_when_loaded, name="ifw-begin", daemon=True).start()

    def _work_when_loaded(self) -> None:
        try:
            self.model.wait()
        except NotReadyError:
            return  # the log says why it could not be loaded; tasks wait for somebody else
        while not self.is_draining:
            try:
                self.tasks.work()
            except DatabaseError as error:
                _log.warning("no tasks are taken yet", extra={"code": error.code, "why": str(error)})
                self._draining.wait(_RETRY_S)
            else:
                return

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
        """
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

    def _task_stats(self) -> TaskStats | None:
        """Nothing where the database does not answer, so that the other metrics are still there."""
        try:
            return self.tasks.stats()
        except SQLAlchemyError:
            return None

    def _result(self, task_id: str) -> str:
        return self.tasks.result(task_id)

    def _engine_stats(self) -> EngineStats | None:
        try:
            return self.model.get().stats()
        except NotReadyError:
            return None

    def check(self, options: TranscribeOptions) -> None:
        """Refuse what the checkpoint cannot do, before a task is made of it. Nothing is known before it is loaded.

        Raises:
            LanguageError: It does not know the language.
            ModeError: It cannot translate.
            PromptError: A prompt is no text, or too long.
        """
        if self._is_loaded:
            self.transcriber.check(options)

    def drain(self) -> None:
        """Begin to end: readiness is false and streams of events end; running work goes on. Harmless if repeated."""
        self._draining.set()

    def close(self) -> None:
        """End what somebody waits for, hand back running tasks, which go on later, and free the device."""
        self.drain()
        self._sync.close()
        self._downloads.close()
        with self._lock:
            tokens = list(self._tokens)
        for token in tokens:
            token.cancel()
        try:
            self.tasks.close()
        finally:
            self.model.close()


def task_options(settings: Settings) -> TaskOptions:
    """The options of the tasks."""
    url, secret = settings.database_url, settings.webhook_secret
    return TaskOptions(
        data_dir=settings.data_dir,
        database_url=None if url is None else url.get_secret_value(),
        max_running=settings.max_running,
        urgent_from=SYNC_PRIORITY,
        max_queued=settings.max_queued,
        result_ttl_s=settings.result_ttl_s,
        default_deadline_s=settings.task_deadline_s,
        webhook_secret=None if secret is None else secret.get_secret_value(),
        allow_nets=settings.allow_nets,
    )
