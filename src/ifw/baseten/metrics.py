"""The numbers of the model among those that Baseten collects."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ifw.errors import NotReadyError
from ifw.service.engine_metrics import engine_metrics
from ifw.service.sync_service import SyncService


class ModelCollector(Collector):
    """Hands on what the service has counted, and what its engine is doing.

    Args:
        service: Of the model.
    """

    def __init__(self, service: SyncService) -> None:
        self._service = service

    def describe(self) -> list[Metric]:
        """Nothing: names are known once there is an engine."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every number as it is now."""
        yield from self._service.metrics.registry.collect()
        try:
            stats = self._service.transcriber.stats()
        except NotReadyError:
            return
        yield from engine_metrics(stats)
