"""Events of OpenAI's audio API while the audio is being transcribed."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from ifw.formats.openai_events import KEEP_ALIVE, event_text
from ifw.server.errors import error_response
from ifw.server.openai.events import EventWriter
from ifw.server.running_items import KEEP_ALIVE_S, EventStream, Items, RunningItems, begun
from ifw.server.statuses import status_of
from ifw.types import Segment, Transcript

_log = logging.getLogger(__name__)


async def transcript_events(
    request: Request, items: Items, writer: EventWriter, cleanup: AsyncExitStack
) -> EventStream:
    """Answer with events: what there is to say of each segment as soon as it is final, and of the end.

    Args:
        request: Its body must have been read.
        items: See `segments_of`.
        writer: Writes the events.
        cleanup: Closed when the events have ended, or have failed to begin.

    Raises:
        IfwError: It went wrong before the first segment, within ten seconds.
        ClientDisconnect: The client left before that.
    """
    first, running = await begun(request, items, cleanup)
    return EventStream(_events(request, first, running, writer), running)


async def _events(
    request: Request, item: Segment | Transcript | None, running: RunningItems, writer: EventWriter
) -> AsyncIterator[str]:
    try:
        while not isinstance(item, Transcript):
            if written := KEEP_ALIVE if item is None else writer.segment(item):
                yield written
            item = await running.next(KEEP_ALIVE_S)
        yield await run_in_threadpool(writer.end, item)
    except Exception as error:
        if status_of(error) == 500:
            _log.error("request failed", exc_info=error)
        yield event_text(json.loads(bytes(error_response(request.scope, error).body)))
