"""Whether the process lives and whether it can work. Open without a key."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from ifw.server.dependencies import ServiceOf
from ifw.service.readiness import missing_parts

router = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class MissingPart(BaseModel):
    """What keeps the server from working."""

    part: Literal["process", "model", "diarization_model", "database", "disk"]
    code: str = Field(description="Stable, such as `loading`, `draining`, or the code of an error.")
    message: str


class Ready(BaseModel):
    """Whether requests can be worked on."""

    status: Literal["ready", "not_ready"]
    model: str
    missing: list[MissingPart]


@router.get("/live")
async def live() -> Live:
    """Answer as long as the process does."""
    return Live()


@router.get("/ready", responses={503: {"model": Ready, "description": "Something is missing."}})
async def ready(service: ServiceOf, response: Response) -> Ready:
    """Say whether the server can work, and if not, what is missing."""
    missing = await run_in_threadpool(missing_parts, service)
    response.status_code = 503 if missing else 200
    return Ready(
        status="not_ready" if missing else "ready",
        model=service.settings.model_name,
        missing=[MissingPart.model_validate(part._asdict()) for part in missing],
    )
