"""Tasks, the native way: submit, look, follow, take the transcript, cancel, remove."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, ValidationError

from ifw.config import CueLayout, SubtitleOptions
from ifw.errors import AudioEmptyError, MediaTypeError, RequestError, TaskEndedError
from ifw.server.dependencies import ServiceOf
from ifw.server.event_stream import LAST_ID, task_events
from ifw.server.multipart import Form
from ifw.server.schemas.form_values import values_of
from ifw.server.schemas.openapi import body_of, errors
from ifw.server.schemas.tasks import (
    TaskBody,
    TaskFormBody,
    TaskListReply,
    TaskOptionsBody,
    TaskReply,
)
from ifw.server.submission import check_reachable, checked_webhook, submitted
from ifw.server.task_replies import task_path, task_reply
from ifw.server.transcripts import MEDIA_TYPES, TranscriptFormat, written
from ifw.server.uploads import FORM, JSON, form_limits, media_type, read_form, read_json
from ifw.service.payload import UPLOAD, Source, make_payload
from ifw.service.service import Service
from ifw.tasks import Task, TaskRequest, TaskState

router = APIRouter(tags=["tasks"])

TaskId = Annotated[str, Path(max_length=128, description="Of the task.")]
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="The same request with the same key is one task."),
]
REPLAYED: Final = "Idempotent-Replayed"


class SubtitleQuery(BaseModel):
    """How the cues of srt and vtt are made."""

    max_line_width: int | None = Field(None, ge=1, le=1000, description="Columns of a line; 42 unless given.")
    max_line_count: int | None = Field(None, ge=1, le=1000, description="Lines of a cue; 2 unless given.")
    max_words_per_line: int | None = Field(None, ge=1, le=1000, description="Words of a line; no limit unless given.")
    highlight_words: bool | None = Field(None, description="Underline each word while it is spoken.")
    min_cue_s: float | None = Field(None, ge=0, le=60, description="A shorter cue stays longer; 0.8 unless given.")
    layout: CueLayout | None = Field(None, description="`openai` breaks lines as openai-whisper does.")
    format: TranscriptFormat = Field("json", description="`json` has everything.")

    def options(self) -> SubtitleOptions:
        """What was given, and the defaults for the rest."""
        return SubtitleOptions(**self.model_dump(exclude={"format"}, exclude_none=True))


@router.post(
    "/tasks",
    status_code=202,
    summary="Submit a task",
    responses=errors(408, 409, 415, 429)
    | {200: {"model": TaskReply, "description": "The idempotency key named this task already."}},
    openapi_extra=body_of(json=TaskBody, form=TaskFormBody),
)
async def submit_task(request: Request, response: Response, service: ServiceOf, key: Key = None) -> TaskReply:
    """Transcribe audio in the background. Its `url` is fetched, or it is sent along as `file` of a form."""
    kind = media_type(request.headers)
    if kind == FORM:
        task, is_new = await _submit_form(request, service, key)
    elif kind == JSON or kind.endswith("+json"):
        task, is_new = await _submit_url(service, _validated(TaskBody, await read_json(request)), key)
    else:
        raise MediaTypeError(f"content-type: got {kind[:80]!r}, allowed: {JSON}, {FORM}")
    response.headers["Location"] = task_path(request, task.id)
    if not is_new:
        response.status_code = 200
        response.headers[REPLAYED] = "true"
    return task_reply(request, task)


@router.get("/tasks", summary="List tasks", response_model=TaskListReply, responses=errors())
async def list_tasks(
    request: Request,
    service: ServiceOf,
    state: Annotated[TaskState | None, Query(description="Only tasks in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=64, description="The `next` of the page before.")] = None,
) -> Response:
    """From the newest to the oldest. `tasks` has the ids, as the predecessor replied; `items` the same tasks whole."""

    def write() -> bytes:
        page = service.tasks.list(state, limit, after)
        items = [task_reply(request, task) for task in page.tasks]
        reply = TaskListReply(tasks=[item.id for item in items], items=items, next=page.next)
        return reply.model_dump_json().encode()

    return Response(await to_thread.run_sync(write), media_type="application/json")


@router.get("/tasks/{task_id}", summary="Look at a task", responses=errors(404))
async def get_task(request: Request, service: ServiceOf, task_id: TaskId) -> TaskReply:
    """State, progress by stage, timings, error, and what became of its webhook."""
    return task_reply(request, await to_thread.run_sync(service.tasks.get, task_id))


@router.get(
    "/tasks/{task_id}/transcript",
    summary="Take the transcript",
    response_class=Response,
    responses=errors(404, 409)
    | {
        200: {
            "description": "In the format that was asked for.",
            "content": {kind: {} for kind in MEDIA_TYPES.values()},
        }
    },
)
async def get_transcript(service: ServiceOf, task_id: TaskId, query: Annotated[SubtitleQuery, Query()]) -> Response:
    """The result of a task that succeeded, in any format, as often as wanted until it expires."""

    def write() -> bytes:
        return written(service.tasks.result(task_id), query.format, query.options())

    body = await to_thread.run_sync(write)
    return Response(body, headers={"content-type": MEDIA_TYPES[query.format]})


@router.get(
    "/tasks/{task_id}/events",
    summary="Follow a task",
    response_class=StreamingResponse,
    responses=errors(404)
    | {
        200: {"description": "Server-sent events until the task ends.", "content": {"text/event-stream": {}}},
        204: {"description": "`Last-Event-ID` is that of the last event: do not connect again."},
    },
)
async def follow_task(
    service: ServiceOf,
    task_id: TaskId,
    last_event_id: Annotated[
        str | None, Header(max_length=64, description="Id of the last event that the client has.")
    ] = None,
) -> Response:
    """`state`, `progress`, `segment` as each becomes final, and last `done`. `Last-Event-ID` continues a stream."""
    task = await to_thread.run_sync(service.tasks.get, task_id)
    if last_event_id == LAST_ID and task.has_ended:
        return Response(status_code=204)
    after = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else -1
    stream: AsyncIterator[bytes] = task_events(service, task, min(after, 2**53))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second: nginx hands on each event at once
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


@router.delete(
    "/tasks/{task_id}",
    summary="Cancel or remove a task",
    responses=errors(404, 409) | {204: {"description": "It had ended and was removed."}},
    response_model=TaskReply,
)
async def delete_task(
    request: Request,
    service: ServiceOf,
    task_id: TaskId,
    only: Annotated[
        Literal["cancel", "remove"] | None,
        Query(description="Do this or nothing, whatever the state of the task; 409 where it does not fit."),
    ] = None,
) -> Any:
    """Cancel it where it has not ended: 200 and the task. Remove it with its result where it has: 204."""

    def delete() -> Task | None:
        if only != "remove":
            try:
                return service.tasks.cancel(task_id)
            except TaskEndedError:
                if only == "cancel":
                    raise
        service.tasks.remove(task_id)
        return None

    task = await to_thread.run_sync(delete)
    return Response(status_code=204) if task is None else task_reply(request, task)


@router.post(
    "/tasks/{task_id}/redeliver",
    status_code=202,
    summary="Deliver the webhook again",
    responses=errors(404, 409),
)
async def redeliver_task(request: Request, service: ServiceOf, task_id: TaskId) -> TaskReply:
    """The same bytes are sent again, at once, whether they arrived before or not; `deliveries` has each attempt."""
    return task_reply(request, await to_thread.run_sync(service.tasks.redeliver, task_id))


async def _submit_url(service: Service, body: TaskBody, key: str | None) -> tuple[Task, bool]:
    check_reachable(service, body.url)
    return await submitted(service, _request(service, Source(url=body.url), body), key=key)


async def _submit_form(request: Request, service: Service, key: str | None) -> tuple[Task, bool]:
    tasks = service.tasks
    task_id = tasks.new_id()
    folder = await to_thread.run_sync(tasks.new_folder, task_id)
    is_taken = False
    try:
        form = await read_form(request, folder / UPLOAD, form_limits(service.settings))
        if form.upload is None:
            task, is_taken = await _submit_url(service, _form_body(TaskBody, form), key)
            return task, is_taken
        if form.upload.n_bytes == 0:
            raise AudioEmptyError("file: got 0 bytes, allowed: an audio or video file")
        sent = form.upload
        source = Source(name=sent.name, n_bytes=sent.n_bytes, sha256=sent.sha256)
        what = _request(service, source, _form_body(TaskOptionsBody, form))
        task, is_taken = await submitted(service, what, task_id=task_id, key=key)
        return task, is_taken
    finally:
        if not is_taken or form.upload is None:
            await to_thread.run_sync(tasks.discard_folder, task_id)


def _form_body(model: type[Any], form: Form) -> Any:
    values = values_of(form.fields, model)
    if model is TaskBody and "url" not in values:
        raise RequestError("file: is missing; send the audio in the part `file`, or name its `url`")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


def _validated(model: type[TaskBody], raw: bytes) -> TaskBody:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


def _request(service: Service, source: Source, body: TaskOptionsBody) -> TaskRequest:
    webhook = body.webhook
    told = None if webhook is None else checked_webhook(service, webhook.url, webhook.headers)
    options = body.model_dump(exclude={"priority", "deadline_s", "webhook", "url"}, exclude_none=True, mode="json")
    return TaskRequest(make_payload(source, options), body.priority, body.deadline_s, told)
