"""What the routes and the worker talk to: the loaded checkpoint, work that is waited for, and durable tasks."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from ifw.errors import ConfigError, DatabaseError, NotReadyError
from ifw.service.database_probe import DatabaseProbe
from ifw.service.stages import TaskStages
from ifw.service.state_metrics import StateCollector
from ifw.service.sync_service import SyncService
from ifw.service.sync_work import SYNC_PRIORITY
from ifw.service.webhook_bodies import EventBodies
from ifw.tasks import TaskOptions, Tasks, TaskStats

if TYPE_CHECKING:
    from ifw.engine.request import EngineStats
    from ifw.service.settings import Settings

_log = logging.getLogger(__name__)

_RETRY_S: Final = 5.0


class Service(SyncService):
    """One checkpoint and everything that uses it. All methods may be called from any thread.

    Args:
        settings: See there.

    Attributes:
        database: Says whether that of the tasks answers.
        tasks: The durable tasks; their payloads are made by `ifw.service.payload.make_payload`.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._draining = threading.Event()
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
    def is_draining(self) -> bool:
        """Whether the process was asked to end: streams of events should end now, readiness is false."""
        return self._draining.is_set()

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

    def drain(self) -> None:
        """Begin to end: readiness is false and streams of events end; running work goes on. Harmless if repeated."""
        self._draining.set()

    def close(self) -> None:
        """End what somebody waits for, hand back running tasks, which go on later, and free the device."""
        self.drain()
        self.cancel_all()
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
