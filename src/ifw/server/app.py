"""The app: routes, and around them keys, limits, error bodies and the request log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

from ifw import __version__
from ifw.server.auth import KEY_HEADERS, KEY_SCHEMES, KeyCheck
from ifw.server.body_limit import BodyLimit
from ifw.server.errors import install
from ifw.server.foreign_sites import ForeignSites
from ifw.server.metrics import RequestMetrics
from ifw.server.request_folder import remove_stale
from ifw.server.request_log import RequestLog
from ifw.server.routes import ROUTERS, health, upload_paths
from ifw.service.service import Service
from ifw.service.settings import Settings, load_settings


def create_app(settings: Settings | None = None, service: Service | None = None) -> FastAPI:
    """Make the server.

    Args:
        settings: None reads the environment.
        service: What does the work; None makes one from the settings. The app starts and closes it.

    Raises:
        ConfigError: A setting is not allowed.

    Example:
        >>> app = create_app(load_settings({"model": "demo"}))  # uvicorn.run(app)
    """
    if service is None:
        service = Service(settings or load_settings())
    settings = service.settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.start)
        await run_in_threadpool(remove_stale, settings.data_dir)
        try:
            yield
        finally:
            await run_in_threadpool(service.close)

    app = FastAPI(
        title="ifw",
        summary="Speech to text with Whisper checkpoints",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service = service
    install(app)
    keys = settings.admin_keys()
    for router in ROUTERS:
        app.include_router(router, dependencies=KEY_SCHEMES if keys and router is not health.router else ())
    app.add_middleware(
        BodyLimit,
        upload_paths=upload_paths(),
        max_body_bytes=settings.max_body_bytes,
        max_upload_bytes=settings.max_upload_bytes,
        idle_timeout_s=settings.client_timeout_s,
    )
    if keys:
        app.add_middleware(KeyCheck, keys=keys)
    else:
        hosts = (settings.host.strip("[]"), *settings.allow_hosts)
        app.add_middleware(ForeignSites, hosts=hosts, origins=settings.cors_origins)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "idempotency-key", "last-event-id", *KEY_HEADERS],
            expose_headers=["x-request-id", "location", "retry-after", "idempotent-replayed"],
        )
    app.add_middleware(RequestMetrics, registry=service.metrics.registry)
    app.add_middleware(RequestLog)
    return app
