"""What the model on Baseten replies: the output of the predecessor, events, and errors."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from fastapi import Response
from fastapi.concurrency import run_in_threadpool

from ifw.errors import IfwError
from ifw.formats.legacy import to_legacy_dict
from ifw.server.running_items import KEEP_ALIVE_S, RunningItems
from ifw.server.statuses import INTERNAL, RETRY_AFTER_S, status_of
from ifw.service.segment_event import SEGMENT, segment_event
from ifw.types import Segment, Transcript

_log = logging.getLogger(__name__)

_RETRIED_BY_THE_PLATFORM: Final = frozenset({502, 503, 504})
_KEEP_ALIVE: Final = b": keep-alive\n\n"


def output_reply(transcript: Transcript, has_words: bool) -> Response:
    """The whole output. Takes a while for a long transcript, so call it outside of the event loop."""
    return Response(_json(to_legacy_dict(transcript, words=has_words)), media_type="application/json")


def error_reply(error: BaseException) -> Response:
    """`detail` and `code`, as `ifw serve` replies.

    Baseten sends what ends with 502, 503 or 504 to a replica again and again, so these are 500 here. What is our own
    fault is told to the log only.
    """
    status = status_of(error)
    body = _error_body(error, status)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else {}
    status = 500 if status in _RETRIED_BY_THE_PLATFORM else status
    return Response(_json(body), status, headers, media_type="application/json")


async def events(item: Segment | Transcript | None, running: RunningItems, has_words: bool) -> AsyncIterator[bytes]:
    """A `segment` for each segment as soon as it is final, and last `done` with the whole output, or `error`.

    Args:
        item: The first item; None where it takes long.
        running: Gives the others.
        has_words: Whether the times of words were asked for.
    """
    while not isinstance(item, Transcript):
        yield _KEEP_ALIVE if item is None else _event(SEGMENT, segment_event(item))
        try:
            item = await running.next(KEEP_ALIVE_S)
        except Exception as error:
            yield _event("error", _error_body(error, status_of(error)))
            return
    yield await run_in_threadpool(_event, "done", {"output": to_legacy_dict(item, words=has_words)})


def _error_body(error: BaseException, status: int) -> dict[str, Any]:
    if status == 500 or not isinstance(error, IfwError):
        _log.error("request failed", exc_info=error)
        return {"detail": "internal error; the log says more", "code": INTERNAL}
    return {"detail": str(error), "code": error.code}


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _json({"type": name, **data}))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
