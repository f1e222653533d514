"""Who runs which task when: DBOS Transact, behind the few things that are wanted of it. The only module that knows it.

DBOS keeps a queue and the results of finished steps in tables of its own. They are no record: what is missing there is
put there again from the table of tasks, under a new name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, _dbos, error

from ifw.errors import ConfigError
from ifw.tasks.database import Database, sqlite_engine
from ifw.tasks.records import MAX_PRIORITY

Step = Callable[[str, Callable[[], Any]], Any]
"""Runs a function under a name, or gives what it returned in an earlier run."""

ExecutionError = error.DBOSException

_APPLICATION: Final = "ifw"
_VERSION: Final = "ifw-1"  # that of the steps' meaning: not of the code, so that an upgrade goes on with old tasks
_SCHEMA: Final = "ifw_dbos"
_QUEUE: Final = "ifw_tasks"
_URGENT_QUEUE: Final = "ifw_urgent_tasks"
_QUEUES: Final = (_QUEUE, _URGENT_QUEUE)
_WORKFLOW: Final = "ifw_task"
_IDLE_POLL_S: Final = 60.0  # of schedules, of which there are none
_STOP_S: Final = 0.2  # how soon threads of DBOS notice the end
_KEPT: Final = timedelta(hours=1)
_BATCH: Final = 200
_ALIVE: Final = ["ENQUEUED", "PENDING", "DELAYED"]


class Abandoned(BaseException):
    """Ends a run of which DBOS is to record nothing, as somebody else goes on with it; so it is no `Exception`."""


class Execution:
    """The queue of tasks and the runs of this process.

    Args:
        database: That of the tasks; DBOS uses the same one on PostgreSQL.
        data_dir: With SQLite DBOS has a file of its own there.
        worker_id: Of this process; the same again lets a process go on with what its predecessor left.
        urgent_from: Tasks of at least this priority have a queue of their own; None is none.
    """

    def __init__(self, database: Database, data_dir: Path, worker_id: str, urgent_from: int | None = None) -> None:
        self._worker_id = worker_id
        self._urgent_from = MAX_PRIORITY + 1 if urgent_from is None else urgent_from
        self._dbos: DBOS | None = None
        _quiet()
        if database.is_postgresql:
            self._engine = None
            self._url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        else:
            path = data_dir / "execution.sqlite"
            self._url = f"sqlite:///{path}"
            # Not synced: what a power cut takes is put there again at the next start.
            self._engine = sqlite_engine(path, is_synced=False, begins=False)
            self._engine.connect().close()
        DBOS.migrate(self._url, schema=_SCHEMA)
        self._client = DBOSClient(
            system_database_url=self._url,
            system_database_engine=self._engine,
            dbos_system_schema=_SCHEMA,
            serializer=DBOSPortableJSONSerializer(),
            application_name=_APPLICATION,
            retry_connection_errors=False,
        )

    def start(self, work: Callable[[str, Step], None], max_running: int, poll_s: float) -> None:
        """Begin to run tasks.

        Args:
            work: Runs the task of a name, with steps.
            max_running: How many at once, of each queue.
            poll_s: How often the queue is looked at.

        Raises:
            ConfigError: This process runs tasks already; DBOS exists once in a process.
        """
        if _dbos._dbos_global_instance is not None:
            raise ConfigError("tasks are worked by this process already; close those before others are started")
        config: DBOSConfig = {
            "name": _APPLICATION,
            "system_database_url": self._url,
            "dbos_system_schema": _SCHEMA,
            "application_version": _VERSION,
            "executor_id": self._worker_id,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": _STOP_S,
            "scheduler_polling_interval_sec": _IDLE_POLL_S,
            "run_migrations": False,
        }
        if self._engine is None:
            config["db_engine_kwargs"] = {"hide_parameters": True}
        else:
            config["system_database_engine"] = self._engine
        self._dbos = DBOS(config=config)

        @DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
        def run_task(run_id: str) -> None:
            work(run_id, _step)

        for queue in _QUEUES if self._urgent_from <= MAX_PRIORITY else (_QUEUE,):
            self._client.register_queue(
                queue, worker_concurrency=max_running, polling_interval_sec=poll_s, on_conflict="always_update"
            )
        DBOS.launch()

    def enqueue(self, run_id: str, priority: int, *, is_first: bool = False) -> None:
        """Have a task run; one that is known already is left alone.

        Args:
            run_id: Under which name.
            priority: Higher goes first.
            is_first: Whether it goes before all others of its queue, as it has waited before.
        """
        self._client.enqueue(
            {
                "workflow_name": _WORKFLOW,
                "queue_name": _URGENT_QUEUE if priority >= self._urgent_from else _QUEUE,
                "workflow_id": run_id,
                "app_version": _VERSION,
                "priority": 1 if is_first else MAX_PRIORITY + 1 - priority,  # DBOS: 1 and up, lower first
            },
            run_id,
        )

    def resume(self, worker_id: str) -> int:
        """Queue again what a worker had begun; returns how much that was."""
        n_resumed = 0
        for queue in _QUEUES:
            found = self._client.list_workflows(
                status="PENDING", executor_id=worker_id, queue_name=queue, load_input=False, load_output=False
            )
            if found:
                self._client.resume_workflows([one.workflow_id for one in found], queue_name=queue)
            n_resumed += len(found)
        return n_resumed

    def alive(self, run_ids: Sequence[str]) -> set[str]:
        """Those of some names that wait or run."""
        found = self._client.list_workflows(
            workflow_ids=list(run_ids), status=_ALIVE, load_input=False, load_output=False
        )
        return {one.workflow_id for one in found}

    def forget(self, run_ids: Sequence[str]) -> None:
        """Delete what is known of some names."""
        if run_ids:
            self._client.delete_workflows(list(run_ids))

    def forget_ended(self) -> None:
        """Delete what is known of runs that are over for an hour; the table of tasks knows how they ended."""
        before = (datetime.now(timezone.utc) - _KEPT).isoformat()
        while found := self._client.list_workflows(
            completed_before=before, queue_name=list(_QUEUES), limit=_BATCH, load_input=False, load_output=False
        ):
            self.forget([one.workflow_id for one in found])

    def stop_taking(self) -> None:
        """Begin no more tasks; those that run go on."""
        if self._dbos is not None:
            for event in self._dbos.background_thread_stop_events:
                event.set()

    def close(self) -> None:
        """End; what still runs cannot record anything any more."""
        if self._dbos is not None:
            DBOS.destroy(destroy_registry=True)
            self._dbos = None
        self._client.destroy()
        if self._engine is not None:
            self._engine.dispose()


def _step(name: str, function: Callable[[], Any]) -> Any:
    return DBOS.run_step({"name": name}, function)


def _quiet() -> None:
    """Warnings of DBOS go where those of this package go; without a handler it would print for itself."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.WARNING)
