"""What the engine is doing and has done, as numbers that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ifw.engine.request import EngineStats

_WORKS: Final = ("encode", "prefill", "decode", "search", "align")


def engine_metrics(stats: EngineStats) -> Iterator[Metric]:
    """Every number of the engine as it is now."""
    yield GaugeMetricFamily("ifw_engine_slots", "Windows that can be decoded together.", value=stats.n_slots)
    yield GaugeMetricFamily("ifw_engine_slots_occupied", "Slots in use.", value=stats.n_occupied)
    yield GaugeMetricFamily("ifw_engine_windows_waiting", "Windows without a slot.", value=stats.n_waiting)
    yield CounterMetricFamily("ifw_engine_tokens", "Tokens sampled.", value=stats.n_tokens)
    yield CounterMetricFamily("ifw_engine_steps", "Decode steps, of all occupied slots together.", value=stats.n_steps)
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
