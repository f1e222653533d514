"""Streams of events without HTTP: silence, an end of the server, work in another process, a task that is removed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from neighbour import Neighbour
from server_process import serving

from ifw.server.event_stream import task_events
from ifw.tasks import Stage, TaskOptions, TaskRequest, Tasks


class DeafTasks(Tasks):
    """As where another process does the work: nobody here is told of it."""

    def listen(self, task_id: str, listener: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


@pytest.fixture
def go() -> threading.Event:
    return threading.Event()


@pytest.fixture(params=[Tasks, DeafTasks])
def service(request: Any, tmp_path: Path, go: threading.Event) -> Iterator[Any]:
    def count(context: Any) -> None:
        context.emit(0, {"type": "segment", "text": "one\n\ntwo"})
        go.wait(60)
        context.emit(1, {"type": "segment", "text": "three"})

    with request.param([Stage("count", count)], TaskOptions(tmp_path)) as tasks:
        yield SimpleNamespace(tasks=tasks, is_draining=False)
        go.set()


def started(service: Any) -> Any:
    """A task that has emitted its first event."""
    task, _ = service.tasks.submit(TaskRequest({}))
    while not service.tasks.events(task.id):
        task = service.tasks.wait_for_change(task.id, task.version, 10)
    return task


async def first_pieces(stream: Any, is_last: Callable[[bytes], bool]) -> bytes:
    read = b""
    async for piece in stream:
        read += piece
        if is_last(piece):
            break
    await stream.aclose()
    return read


def test_events_and_the_end(service: Any, go: threading.Event) -> None:
    task = started(service)

    async def follow() -> bytes:
        stream, read = task_events(service, task, -1), b""
        async for piece in stream:
            read += piece
            if b"one" in piece:
                go.set()
        return read

    read = asyncio.run(follow())
    assert b'event: segment\nid: 0\ndata: {"type": "segment", "text": "one\\n\\ntwo"}\n\n' in read
    assert read.index(b"id: 0") < read.index(b"id: 1") < read.index(b"event: done\nid: end\n")
    assert read.endswith(b"\n\n")


def test_silence_is_broken_by_comments(service: Any) -> None:
    stream = task_events(service, started(service), -1, keep_alive_s=0.05)
    read = asyncio.run(first_pieces(stream, lambda piece: piece.startswith(b":")))
    assert read.endswith(b"\n\n: keep-alive\n\n")


def test_a_server_that_ends_ends_its_streams_without_done(service: Any) -> None:
    service.is_draining = True
    read = asyncio.run(first_pieces(task_events(service, started(service), -1), lambda piece: False))
    assert b"event: segment" in read
    assert b"event: done" not in read


def test_a_task_that_is_removed_ends_its_streams(service: Any, go: threading.Event) -> None:
    task = started(service)

    async def follow() -> bytes:
        stream = task_events(service, task, -1)
        read = await anext(stream)
        service.tasks.cancel(task.id)
        go.set()
        service.tasks.remove(task.id)
        async for piece in stream:
            read += piece
        return read

    assert b"event: segment" in asyncio.run(follow())


def test_open_streams_and_waiting_calls_do_not_hold_the_server(tmp_path: Path) -> None:
    with Neighbour() as neighbour, serving(tmp_path, "--allow-nets", "127.0.0.0/8", "--drain", "0.5") as server:
        server.wait_ready()
        with neighbour.holding():
            task = server.client.post("/tasks", json={"url": f"{neighbour.url}/held/short.ogg"}).json()
            with server.client.stream("GET", f"/tasks/{task['id']}/events") as events:
                lines = events.iter_lines()
                assert next(lines) == "event: state"
                server.process.terminate()
                assert "event: done" not in list(lines)
                assert server.process.wait(60) == 0
