"""Events of OpenAI's audio API while the audio is being transcribed."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from ifw.formats.openai_events import KEEP_ALIVE, delta_event, done_event, event_text
from ifw.formats.openai_wire import TokenBytes
from ifw.server.errors import error_response
from ifw.server.running_items import KEEP_ALIVE_S, EventStream, Items, RunningItems, begun
from ifw.server.statuses import status_of
from ifw.types import Segment, Transcript

_log = logging.getLogger(__name__)


async def transcript_events(
    request: Request, items: Items, token_bytes: TokenBytes | None, cleanup: AsyncExitStack
) -> EventStream:
    """Answer with events: a delta for each segment as soon as it is final, and last the whole text.

    Args:
        request: Its body must have been read.
        items: See `segments_of`.
        token_bytes: Adds the probabilities of the tokens.
        cleanup: Closed when the events have ended, or have failed to begin.

    Raises:
        IfwError: It went wrong before the first segment, within ten seconds.
        ClientDisconnect: The client left before that.
    """
    first, running = await begun(request, items, cleanup)
    return EventStream(_events(request, first, running, token_bytes), running)


async def _events(
    request: Request, item: Segment | Transcript | None, running: RunningItems, token_bytes: TokenBytes | None
) -> AsyncIterator[str]:
    while not isinstance(item, Transcript):
        yield KEEP_ALIVE if item is None else event_text(delta_event(item, token_bytes))
        try:
            item = await running.next(KEEP_ALIVE_S)
        except Exception as error:
            if status_of(error) == 500:
                _log.error("request failed", exc_info=error)
            body = json.loads(bytes(error_response(request.scope, error).body))
            yield event_text(body)
            return
    yield await run_in_threadpool(_written, item, token_bytes)


def _written(transcript: Transcript, token_bytes: TokenBytes | None) -> str:
    return event_text(done_event(transcript, token_bytes))
