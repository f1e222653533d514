"""Durable tasks: each is kept until it has ended once, whatever happens to the processes that work on it."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from ifw.errors import ConfigError, DatabaseError, DataDirError
from ifw.tasks import schema
from ifw.tasks.database import Database, DataDirLock, postgresql_engine, sqlite_engine
from ifw.tasks.deliveries import Deliveries
from ifw.tasks.execution import Execution, ExecutionError
from ifw.tasks.options import TaskOptions
from ifw.tasks.records import Task, TaskPage, TaskRequest, TaskState, TaskStats
from ifw.tasks.site import site_of
from ifw.tasks.stage import Stage
from ifw.tasks.webhook_courier import EventBuilder, plain_event
from ifw.tasks.workforce import Workforce

_log: Final = logging.getLogger("ifw.tasks")
_EMBEDDED: Final = "embedded"
_LOOK_S: Final = 0.5  # how often a waiter looks for changes that other processes made


class Tasks:
    """The tasks of a data folder or of a PostgreSQL database. Methods block briefly, and any thread may call them.

    Args:
        stages: What is done with each task, in order.
        options: Where they are kept, and their limits.
        event_builder: Makes the body of a webhook event; by default one of type `task.STATE` with its id.

    Example:
        >>> with Tasks([Stage("count", count)], TaskOptions(Path("data"))) as tasks:
        ...     task, _ = tasks.submit(TaskRequest({"to": 3}))
        ...     tasks.wait(task.id, 10).state
        'succeeded'
    """

    def __init__(
        self, stages: Sequence[Stage], options: TaskOptions, event_builder: EventBuilder | None = None
    ) -> None:
        names = [stage.name for stage in stages]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"stages: got {names}, allowed: at least one, each with a name of its own")
        self._stages = tuple(stages)
        self._options = options
        self._event_builder = plain_event if event_builder is None else event_builder
        self._changing = threading.Lock()
        self._is_open = False
        self._workforce: Workforce | None = None

    def start(self, works: bool = True) -> None:
        """Open the database, so that tasks can be submitted and looked at, and begin to work.

        Args:
            works: Whether this process takes tasks from now on; else `work` begins that later, or workers elsewhere do
                it, on the same PostgreSQL database.

        Raises:
            DataDirError: Another process works in the data folder, or it cannot be used.
            DatabaseError: The database cannot be reached, or refuses.
            ConfigError: This process runs other tasks already.
        """
        with self._changing:
            with ExitStack() as opened, _database_errors(self._options):
                self._open(self._options, opened)
                self._opened = opened.pop_all()
            self._is_open = True
        if works:
            try:
                self.work()
            except BaseException:
                self.close()
                raise

    def work(self) -> None:
        """Begin to take tasks. Harmless where this process does already, or where it was closed meanwhile.

        Raises:
            DatabaseError: The database cannot be reached, or refuses; nothing was begun, and it may be tried again.
            ConfigError: This process runs other tasks already.
        """
        with self._changing:
            if not self._is_open or self._workforce is not None:
                return
            workforce = Workforce(self._site, self._stages, self._execution, self._event_builder)
            with _database_errors(self._options):
                workforce.start()
            self._workforce = workforce

    def _open(self, options: TaskOptions, opened: ExitStack) -> None:
        """Open what clients need; `opened` closes it again."""
        is_embedded = options.database_url is None
        if is_embedded:
            opened.callback(DataDirLock(options.data_dir).release)
        options.data_dir.mkdir(parents=True, exist_ok=True)
        if options.database_url is None:
            self._database = Database(sqlite_engine(options.data_dir / "tasks.sqlite"))
            self.worker_id = _EMBEDDED
        else:
            self._database = Database(postgresql_engine(options.database_url))
            self.worker_id = f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        opened.callback(self._database.close)
        self._database.create(schema.metadata, schema.VERSION)
        self._site = site_of(self.worker_id, options, self._database)
        self._store, self._spool, self._bell = self._site.store, self._site.spool, self._site.bell
        self._execution = Execution(self._database, options.data_dir, self.worker_id, options.urgent_from)
        opened.callback(self._execution.close)
        self._deliveries = Deliveries(self._site)
        if is_embedded:  # nobody else can be at work, or in the middle of an upload
            self._site.claims.release_all()
            self._deliveries.release_all()
            self._spool.sweep(self._store.unended, 0.0)

    def close(self, grace_s: float = 0.0) -> None:
        """Stop. Tasks that run may end within the grace; the others are handed back and go on later or elsewhere.

        Args:
            grace_s: Seconds that running tasks have.
        """
        with self._changing:
            if not self._is_open:
                return
            self._is_open = False
            with self._opened:
                workforce, self._workforce = self._workforce, None
                if workforce is not None:
                    workforce.close(grace_s)

    def __enter__(self) -> Tasks:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def new_id(self) -> str:
        """A name that no task has."""
        return uuid.uuid4().hex

    def new_folder(self, task_id: str) -> Path:
        """An empty folder for the files of a task that is about to be submitted.

        Raises:
            TaskIdError: The name is not allowed.
            TaskExistsError: There is such a task, or a folder for it.
        """
        return self._spool.new_folder(task_id)

    def discard_folder(self, task_id: str) -> None:
        """Delete the folder of a task that was not submitted after all; that of a task that exists stays."""
        if not self._store.exists(task_id):
            self._spool.remove(task_id)

    def submit(
        self,
        request: TaskRequest,
        *,
        task_id: str | None = None,
        idempotency_key: str | None = None,
        fingerprint: str = "",
    ) -> tuple[Task, bool]:
        """Keep a task, and queue it.

        Args:
            request: What is to be done.
            task_id: Its name; None makes one up.
            idempotency_key: The same key again gives the task that it gave before.
            fingerprint: Of the request; the same key with another one is refused.

        Returns:
            The task, and whether it is new.

        Raises:
            ConfigError: The request has a value that is not allowed.
            TaskIdError: The name is not allowed.
            TaskExistsError: There is a task of this name.
            IdempotencyError: The key belongs to another request.
            QueueFullError: Too many tasks are waiting.
        """
        name = self.new_id() if task_id is None else task_id
        submitted = self._store.insert(request, name, idempotency_key, fingerprint)
        if submitted.is_new:
            try:
                self._execution.enqueue(submitted.run_id, request.priority)
                self._store.mark_enqueued(submitted.run_id)
            except (SQLAlchemyError, ExecutionError) as error:  # it is kept, so it is accepted
                _log.warning("task %s is queued by a worker's upkeep: %s", name, type(error).__name__)
        return submitted.task, submitted.is_new

    def get(self, task_id: str) -> Task:
        """A task as it stands.

        Raises:
            TaskNotFoundError: There is none of this name, or no longer.
        """
        return self._store.get(task_id)

    def list(self, state: TaskState | None = None, limit: int = 50, after: str | None = None) -> TaskPage:
        """Tasks from the newest to the oldest.

        Args:
            state: Only those in it.
            limit: At most so many, 1 to 1000.
            after: The `next` of the page before.

        Raises:
            ConfigError: The state or the limit is not allowed.
            TaskCursorError: `after` is not the `next` of a page.
        """
        return self._store.page(state, limit, after)

    def cancel(self, task_id: str) -> Task:
        """End a task; the work on it stops at once where it runs in this process, else within `flush_s`.

        Raises:
            TaskNotFoundError: There is none of this name.
            TaskEndedError: It has ended already.
        """
        task = self._store.cancel(task_id)
        workforce = self._workforce
        if workforce is not None:
            workforce.stop_task(task_id)
        self._spool.remove(task_id)
        self._bell.ring([task_id])
        return task

    def remove(self, task_id: str) -> None:
        """Forget a task that has ended, with its result and its files.

        Raises:
            TaskNotFoundError: There is none of this name.
            TaskUnfinishedError: It has not ended yet.
        """
        run_id = self._store.remove(task_id)
        self._spool.remove(task_id)
        try:
            self._execution.forget([run_id])
        except (SQLAlchemyError, ExecutionError) as error:  # it is deleted with all that are over
            _log.warning("the execution of task %s is forgotten later: %s", task_id, type(error).__name__)
        self._bell.ring([task_id])

    def result(self, task_id: str) -> str:
        """What the stages made of a task that succeeded.

        Raises:
            TaskNotFoundError: There is none of this name.
            TaskUnfinishedError: It has not ended yet.
            TaskFailedError: It failed.
            TaskCancelledError: It was cancelled.
        """
        return self._store.result(task_id)

    def events(self, task_id: str, after_seq: int = -1, limit: int = 10_000) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """What the stages emitted past a number, in order.

        Raises:
            TaskNotFoundError: There is none of this name.
        """
        return [(seq, json.loads(text)) for seq, text in self._store.events(task_id, after_seq, limit)]

    def event_texts(self, task_id: str, after_seq: int = -1, limit: int = 10_000) -> Sequence[tuple[int, str]]:
        """What the stages emitted past a number, in order, as JSON in ASCII on one line.

        Raises:
            TaskNotFoundError: There is none of this name.
        """
        return self._store.events(task_id, after_seq, limit)

    def wait(self, task_id: str, timeout_s: float) -> Task:
        """Wait until a task has ended, at most so long; returns it as it stands then.

        Raises:
            TaskNotFoundError: There is none of this name.
        """
        return self._wait(task_id, timeout_s, lambda task: task.has_ended)

    def wait_for_change(self, task_id: str, version: int, timeout_s: float) -> Task:
        """Wait until a task has ended or is past a version of it (`Task.version`), such as by new events.

        Raises:
            TaskNotFoundError: There is none of this name.
        """
        return self._wait(task_id, timeout_s, lambda task: task.has_ended or task.version > version)

    def listen(self, task_id: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` at each change of a task that this process makes.

        Args:
            task_id: Of which.
            listener: Must be quick and must not raise; runs in any thread.

        Returns:
            A function that ends this.
        """
        return self._bell.listen(task_id, listener)

    def redeliver(self, task_id: str) -> Task:
        """Deliver the event of a task that has ended once more: the same bytes, and again all attempts.

        Raises:
            TaskNotFoundError: There is none of this name.
            TaskWebhookError: It has no webhook.
            TaskUnfinishedError: It has not ended yet.
        """
        task = self._deliveries.redeliver(task_id)
        self._bell.ring([task_id])
        return task

    @property
    def is_shared(self) -> bool:
        """Whether other processes may change tasks, of which nobody here is told."""
        return self._options.database_url is not None

    def ping(self) -> None:
        """Have the database answer.

        Raises:
            SQLAlchemyError: It does not.
        """
        self._database.ping()

    def stats(self) -> TaskStats:
        """How busy the tasks are, over all workers."""
        return self._store.stats()

    def _wait(self, task_id: str, timeout_s: float, is_reached: Callable[[Task], bool]) -> Task:
        deadline = time.monotonic() + timeout_s
        changed = threading.Event()
        remove = self._bell.listen(task_id, changed.set)
        try:
            while True:
                changed.clear()
                task = self._store.get(task_id)
                left_s = deadline - time.monotonic()
                if left_s <= 0 or is_reached(task):
                    return task
                changed.wait(min(left_s, _LOOK_S))
        finally:
            remove()


@contextmanager
def _database_errors(options: TaskOptions) -> Iterator[None]:
    """What SQLAlchemy raises as an error of ours: what the driver says, without the statement and its values."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        if options.database_url is None:
            raise DataDirError(f"data folder {options.data_dir}: its database cannot be used: {cause}") from error
        raise DatabaseError(f"the database of the tasks does not answer, or refuses: {cause}") from error
