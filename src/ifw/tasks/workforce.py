"""Everything by which one process works on tasks: it is started together, and ends in order."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from ifw.tasks.execution import Execution, ExecutionError
from ifw.tasks.flusher import Flusher
from ifw.tasks.heartbeat import Heartbeat
from ifw.tasks.site import Site
from ifw.tasks.stage import Stage
from ifw.tasks.upkeep import Upkeep
from ifw.tasks.webhook_courier import Courier, EventBuilder
from ifw.tasks.worker import Worker

_log: Final = logging.getLogger("ifw.tasks")
_LEAVE_S: Final = 10.0
_POST_GRACE_S: Final = 1.0  # a receiver that is about to answer is not told twice


class Workforce:
    """The worker of one process, with its upkeep and its deliveries.

    Args:
        site: Where the tasks are.
        stages: What is done with each task, in order.
        execution: Runs them.
        event_builder: Makes the body of a webhook event.
    """

    def __init__(self, site: Site, stages: Sequence[Stage], execution: Execution, event_builder: EventBuilder) -> None:
        self._worker_id = site.worker_id
        self._options = site.options
        self._execution = execution
        self._flusher = Flusher(site.claims, site.bell, site.options.flush_s)
        self._heartbeat = Heartbeat(site)
        self._upkeep = Upkeep(site, execution, self._flusher, self._heartbeat)
        self._worker = Worker(site, stages, self._flusher)
        self._courier = Courier(site, event_builder)

    def start(self) -> None:
        """Give a sign of life, then begin to take tasks. Where that fails, nothing was begun.

        Raises:
            SQLAlchemyError: The database is away, or refuses.
            ConfigError: This process runs other tasks already.
        """
        with ExitStack() as begun:
            begun.callback(self._heartbeat.close)
            self._heartbeat.beat()
            begun.callback(self._flusher.close)
            self._flusher.start()
            self._execution.start(self._worker.work, self._options.max_running, self._options.poll_s)
            self._heartbeat.start()
            self._upkeep.start()
            self._courier.start()
            begun.pop_all()

    def close(self, grace_s: float) -> None:
        """Stop. Each part is closed, whatever happens to the others.

        Args:
            grace_s: Seconds that running tasks have.
        """
        with ExitStack() as ending:
            ending.callback(self._heartbeat.close)
            ending.callback(self._upkeep.close)
            ending.callback(self._requeue)
            ending.callback(self._courier.close, max(_POST_GRACE_S, min(grace_s, self._options.delivery_timeout_s)))
            ending.callback(self._flusher.close)
            ending.callback(self._worker.close, grace_s, _LEAVE_S)
            self._execution.stop_taking()

    def stop_task(self, task_id: str) -> None:
        """Have the run of a task that has ended stop at once, if it is here."""
        self._flusher.stop_task(task_id)

    def _requeue(self) -> None:
        """Have others, or this worker's next life, run what was handed back."""
        try:
            self._execution.resume(self._worker_id)
        except (SQLAlchemyError, ExecutionError) as error:
            _log.warning("what runs here is taken over only when this worker counts as dead: %s", type(error).__name__)
