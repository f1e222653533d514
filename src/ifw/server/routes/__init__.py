"""The routes, one module a family of clients. `ROUTERS` is what the app serves."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.routing import APIRoute

from ifw.server import metrics
from ifw.server.routes import asr_webservice, baseten, health, home, legacy, openai, tasks
from ifw.server.uploads import FORM

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health.router,
    home.router,
    metrics.router,
    tasks.router,
    legacy.router,
    baseten.router,
    openai.router,
    asr_webservice.router,
)


def upload_paths() -> tuple[str, ...]:
    """The paths of all routes that say that they take a form, and stream it to disk."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    bodies = [(route.path, (route.openapi_extra or {}).get("requestBody", {})) for route in routes]
    return tuple(path for path, body in bodies if FORM in body.get("content", {}))
