"""The routes, one module a family of clients. `ROUTERS` is what the app serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ifw.server import metrics
from ifw.server.routes import asr_webservice, baseten, health, home, legacy, openai, tasks

if TYPE_CHECKING:
    from fastapi import APIRouter

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
