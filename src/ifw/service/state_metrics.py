"""What the process is doing, as numbers that Prometheus reads: model, engine, tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ifw.engine.request import EngineStats
from ifw.service.engine_metrics import engine_metrics
from ifw.tasks import TaskStats
from ifw.tasks.records import TASK_STATES


class StateCollector(Collector):
    """Reads what is the case when it is asked, so that nothing has to be kept up to date.

    Args:
        engine: The engine's statistics; None while there is no engine.
        n_sync: Synchronous transcriptions that run or wait.
        tasks: How busy the tasks are; None where nobody can say.
        is_loaded: Whether the model is there.
    """

    def __init__(
        self,
        engine: Callable[[], EngineStats | None],
        n_sync: Callable[[], int],
        tasks: Callable[[], TaskStats | None],
        is_loaded: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._n_sync = n_sync
        self._tasks = tasks
        self._is_loaded = is_loaded

    def describe(self) -> list[Metric]:
        """Nothing: asking for the names must not touch the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every number as it is now."""
        yield GaugeMetricFamily("ifw_model_loaded", "1 once the model is loaded.", value=float(self._is_loaded()))
        yield GaugeMetricFamily(
            "ifw_sync_requests", "Synchronous transcriptions, running or waiting.", value=self._n_sync()
        )
        tasks = GaugeMetricFamily("ifw_tasks", "Tasks by state, over all workers.", labels=["state"])
        stats = self._tasks()
        for state in TASK_STATES if stats else ():
            tasks.add_metric([state], getattr(stats, f"n_{state}"))
        yield tasks
        if stats:
            yield GaugeMetricFamily("ifw_workers", "Processes that work on tasks.", value=stats.n_workers)
            yield GaugeMetricFamily(
                "ifw_deliveries_pending", "Webhooks that have not arrived yet.", value=stats.n_pending_deliveries
            )
        engine = self._engine()
        if engine is not None:
            yield from engine_metrics(engine)
