"""A transcription whose segments are sent while it runs, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ifw.server.waiting import gone
from ifw.types import Segment, Transcript

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

    def __init__(self, events: AsyncIterator[str | bytes], items: RunningItems) -> None:
        super().__init__(events, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._items = items

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._items.close()


async def begun(
    request: Request, items: Items, cleanup: AsyncExitStack
) -> tuple[Segment | Transcript | None, RunningItems]:
    """Wait for the first item, so that what goes wrong until then gets its status and its error body.

    Args:
        request: Its body must have been read.
        items: See `segments_of`.
        cleanup: Closed with the running items, or where they fail to begin.

    Returns:
        The first item, or None where there is none within ten seconds; and what gives the others.

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
    return first, running
