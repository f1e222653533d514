"""Events of OpenAI's audio API while the audio is being transcribed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ifw.formats.openai_events import KEEP_ALIVE, delta_event, done_event, event_text
from ifw.formats.openai_wire import TokenBytes
from ifw.server.errors import error_response
from ifw.server.statuses import status_of
from ifw.server.waiting import gone
from ifw.types import Segment, Transcript

_log = logging.getLogger(__name__)

FIRST_EVENT_S: Final = 10.0
"""So long an answer waits for its first event: what goes wrong until then gets its status and its error body."""
KEEP_ALIVE_S: Final = 15.0

Items = AsyncGenerator[Segment | Transcript, None]


class RunningItems:
    """Items of a transcription that is running, which may be waited for with a limit. Close it in any case.

    Args:
        items: See `segments_of`.
        cleanup: What must stay until the work has ended; closed with it.
    """

    def __init__(self, items: Items, cleanup: AsyncExitStack) -> None:
        self._items = items
        self._cleanup = cleanup
        self._step: asyncio.Future[Segment | Transcript] | None = None

    async def next(self, patience_s: float, watch: asyncio.Future[None] | None = None) -> Segment | Transcript | None:
        """The next item, or None where it takes longer, or where `watch` ends first."""
        if self._step is None:
            self._step = asyncio.ensure_future(anext(self._items))
        awaited: list[asyncio.Future[Any]] = [self._step, *([watch] if watch else [])]
        await asyncio.wait(awaited, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if not self._step.done():
            return None
        step, self._step = self._step, None
        return step.result()

    async def close(self) -> None:
        """End the work, if it still runs."""
        async with self._cleanup:
            if self._step is not None:
                self._step.cancel()
                await asyncio.wait([self._step])
            await self._items.aclose()


class EventStream(StreamingResponse):
    """A response that closes its items, also where the client leaves before the first event."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[str], items: RunningItems) -> None:
        super().__init__(events, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._items = items

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._items.close()


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
    running = RunningItems(items, cleanup)
    watch = asyncio.ensure_future(gone(request))
    try:
        first = await running.next(FIRST_EVENT_S, watch)
        is_gone = watch.done()
    except BaseException:
        await running.close()
        raise
    finally:
        watch.cancel()
    if is_gone:
        await running.close()
        raise ClientDisconnect
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
