"""How many requests came and how long they took, by route, and the reply of `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ifw.server.dependencies import ServiceOf
from ifw.server.statuses import CLIENT_LEFT

_SECONDS: Final = (0.005, 0.02, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED: Final = "unmatched"

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(service: ServiceOf) -> Response:
    """Every number that Prometheus may want."""
    text = await run_in_threadpool(generate_latest, _WithoutCreation(service.metrics.registry))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


class _WithoutCreation(Collector):
    """All metrics but the times at which each series began, a line for every other one, which nobody asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class RequestMetrics:
    """Counts requests and their time, by the path as the route has it, so that ids make no metrics of their own.

    Args:
        app: What is behind it.
        registry: Where the metrics belong.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._n = Counter("ifw_requests", "Requests.", ["method", "route", "status"], registry=registry)
        self._seconds = Histogram(
            "ifw_request_seconds",
            "Wall seconds from the head of a request to the end of its reply.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._open = Gauge("ifw_requests_open", "Requests that are being answered.", registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._open.track_inprogress():
            try:
                await self._app(scope, receive, send_seen)
            except ClientDisconnect:
                status = CLIENT_LEFT
                raise
            finally:
                method = scope["method"] if scope["method"] in _METHODS else "OTHER"
                route = route_of(scope)
                self._n.labels(method, route, str(status)).inc()
                self._seconds.labels(method, route).observe(time.perf_counter() - started)


def route_of(scope: Scope) -> str:
    """The path of the route that a request came to, with the names of its parameters."""
    return str(getattr(scope.get("route"), "path", UNMATCHED))
