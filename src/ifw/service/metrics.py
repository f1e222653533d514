"""What the process has done and is doing, as numbers that Prometheus reads. Each service has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ifw.engine.request import EngineStats
from ifw.errors import CancelledError, IfwError
from ifw.tasks import TaskStats
from ifw.tasks.records import TASK_STATES
from ifw.types import Transcript

Kind = Literal["sync", "task"]
_SPEEDS: Final = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_SECONDS: Final = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
_WORKS: Final = ("encode", "prefill", "decode", "search", "align")


class ServiceMetrics:
    """Counts transcriptions and stages.

    Attributes:
        registry: What `/metrics` writes; the server adds its requests.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._ended = Counter(
            "ifw_transcriptions",
            "Transcriptions that ended, by kind and outcome.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self._audio = Counter("ifw_audio_seconds", "Seconds of audio transcribed.", ["kind"], registry=self.registry)
        self._wall = Counter(
            "ifw_transcription_seconds",
            "Wall seconds that these transcriptions took.",
            ["kind"],
            registry=self.registry,
        )
        self._speed = Histogram(
            "ifw_speed_factor",
            "Seconds of audio a wall second, of each transcription.",
            ["kind"],
            buckets=_SPEEDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "ifw_stage_seconds",
            "Wall seconds of each stage of a task.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def transcribed(self, kind: Kind, transcript: Transcript, wall_s: float) -> None:
        """Count one that succeeded."""
        self.ended(kind, "succeeded")
        self._audio.labels(kind).inc(transcript.duration_s)
        self._wall.labels(kind).inc(wall_s)
        if wall_s > 0:
            self._speed.labels(kind).observe(transcript.duration_s / wall_s)

    def ended(self, kind: Kind, outcome: str) -> None:
        """Count one that ended.

        Args:
            kind: `sync` is one that somebody waited for.
            outcome: `succeeded`, or the code of an error.
        """
        self._ended.labels(kind, outcome).inc()

    @contextmanager
    def counted(self, kind: Kind) -> Iterator[None]:
        """Count a transcription that fails in the block. A task that is stopped may go on later: it has not ended."""
        try:
            yield
        except CancelledError as error:
            if kind == "sync":
                self.ended(kind, error.code)
            raise
        except IfwError as error:
            self.ended(kind, error.code)
            raise
        except Exception:
            self.ended(kind, "internal")
            raise

    def stage(self, name: str, wall_s: float) -> None:
        """Count a stage of a task that ended."""
        self._stages.labels(name).observe(wall_s)


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
            yield from _engine_metrics(engine)


def _engine_metrics(stats: EngineStats) -> Iterator[Metric]:
    yield GaugeMetricFamily("ifw_engine_slots", "Windows that can be decoded together.", value=stats.n_slots)
    yield GaugeMetricFamily("ifw_engine_slots_occupied", "Slots in use.", value=stats.n_occupied)
    yield GaugeMetricFamily("ifw_engine_windows_waiting", "Windows without a slot.", value=stats.n_waiting)
    yield CounterMetricFamily("ifw_engine_tokens", "Tokens sampled.", value=stats.n_tokens)
    yield CounterMetricFamily("ifw_engine_retries", "Attempts after the first.", value=stats.n_retries)
    windows = CounterMetricFamily("ifw_engine_windows", "Windows that left the engine.", labels=["outcome"])
    for outcome in ("completed", "failed", "cancelled"):
        windows.add_metric([outcome], getattr(stats, f"n_{outcome}"))
    yield windows
    busy = CounterMetricFamily(
        "ifw_engine_busy_seconds", "Seconds that the engine spent on each work.", labels=["work"]
    )
    for work in _WORKS:
        busy.add_metric([work], getattr(stats, f"{work}_s"))
    yield busy
