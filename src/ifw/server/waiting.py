"""Transcriptions that a client waits for: a client that goes away ends its work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from ifw.cancellation import CancelToken
from ifw.config import TranscribeOptions
from ifw.service.sync_service import SyncService
from ifw.types import Segment, Transcript

if TYPE_CHECKING:
    from pathlib import Path

    from ifw.audio import AudioSource
    from ifw.fetch import Fetched

_T = TypeVar("_T")


async def transcribed(
    request: Request, service: SyncService, source: AudioSource, options: TranscribeOptions
) -> Transcript:
    """Transcribe for a client that waits for the whole.

    Args:
        request: Its body must have been read.
        service: Does the work.
        source: The audio file; it may be closed and removed after this.
        options: What to do.

    Raises:
        IfwError: See `SyncService.transcribe_now` and what its future raises.
    """
    cancel = CancelToken()
    return await _waited(request, service.transcribe_now(source, options, cancel=cancel), cancel)


async def fetched(request: Request, service: SyncService, url: str, target: Path) -> Fetched:
    """Download for a client that waits for it.

    Args:
        request: Its body must have been read.
        service: Does the work.
        url: Where the file is.
        target: Where it goes, in a folder of its own.

    Raises:
        IfwError: See `SyncService.fetch_now` and what its future raises.
    """
    cancel = CancelToken()
    return await _waited(request, service.fetch_now(url, target, cancel=cancel), cancel)


async def prepared(request: Request, service: SyncService, work: Callable[[], _T]) -> _T:
    """Have something done before a transcription, for a client that waits for it.

    Args:
        request: Its body must have been read.
        service: Does the work.
        work: See `SyncService.prepare_now`.

    Raises:
        IfwError: See there, and what `work` raises.
    """
    cancel = CancelToken()
    return await _waited(request, service.prepare_now(work, cancel=cancel), cancel)


async def _waited(request: Request, future: Future[_T], cancel: CancelToken) -> _T:
    work = asyncio.wrap_future(future)
    watch = asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            cancel.cancel()
            await asyncio.wait((work,))  # it may still read the source
            raise ClientDisconnect
        return await asyncio.shield(work)
    finally:
        cancel.cancel()  # does nothing to work that has ended
        watch.cancel()


async def segments_of(
    service: SyncService, source: AudioSource, options: TranscribeOptions
) -> AsyncGenerator[Segment | Transcript, None]:
    """Each segment as soon as it is final, and last the transcript. Closing the iterator ends the work.

    The queue of the server may be full, which is known only after the first step: take that before a response begins.

    Args:
        service: Does the work.
        source: The audio file; it must stay until the iterator has ended.
        options: What to do.

    Raises:
        IfwError: See `SyncService.transcribe_now` and what its future raises.
    """
    loop, cancel = asyncio.get_running_loop(), CancelToken()
    items: asyncio.Queue[Segment | None] = asyncio.Queue()

    def put(item: Segment | None) -> None:
        loop.call_soon_threadsafe(items.put_nowait, item)

    future = service.transcribe_now(source, options, cancel=cancel, on_segment=put)
    future.add_done_callback(lambda done: put(None))
    try:
        while (item := await items.get()) is not None:
            yield item
        yield future.result()
    finally:
        cancel.cancel()


async def gone(request: Request) -> None:
    """Return when the client has gone away. Its request's body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
