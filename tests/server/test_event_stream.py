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

from ifw.server import event_stream
from ifw.server.event_stream import task_events
from ifw.tasks import Stage, TaskOptions, TaskRequest, Tasks


class DeafTasks(Tasks):
    """As where another process does the work: nobody here is told of it."""

    def listen(self, task_id: str, listener: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    @property
    def is_shared(self) -> bool:
        return True


class CountingTasks(Tasks):
    """Counts how often they are looked at."""

    n_looks = 0

    def get(self, task_id: str) -> Any:
        self.n_looks += 1
        return super().get(task_id)


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
    assert b'event: segment\nid: 0\ndata: {"type":"segment","text":"one\\n\\ntwo"}\n\n' in read
    assert read.index(b"id: 0") < read.index(b"id: 1") < read.index(b"event: done\nid: end\n")
    assert read.endswith(b"\n\n")


def test_silence_is_broken_by_comments(service: Any) -> None:
    stream = task_events(service, started(service), -1, keep_alive_s=0.05)
    read = asyncio.run(first_pieces(stream, lambda piece: piece.startswith(b":")))
    assert read.endswith(b"\n\n: keep-alive\n\n")


def test_silence_costs_no_look_at_the_database(tmp_path: Path, go: threading.Event, monkeypatch: Any) -> None:
    monkeypatch.setattr(event_stream, "POLL_S", 0.001)
    with CountingTasks([Stage("wait", lambda context: go.wait(60) and None)], TaskOptions(tmp_path)) as tasks:
        task, _ = tasks.submit(TaskRequest({}))
        while task.state != "running":
            task = tasks.wait_for_change(task.id, task.version, 10)
        service = SimpleNamespace(tasks=tasks, is_draining=False)

        async def follow() -> None:
            stream = task_events(service, task, -1)
            await anext(stream)
            before = tasks.n_looks
            step = asyncio.ensure_future(anext(stream))
            for _ in range(300):
                await asyncio.sleep(0.001)  # as long as it polls
            n_looks = tasks.n_looks - before
            go.set()
            await step
            assert n_looks <= 3  # what the worker itself still told
            await stream.aclose()

        asyncio.run(follow())


def test_many_events_come_in_parts(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(event_stream, "BATCH", 10)

    def emit(context: Any) -> None:
        for number in range(25):
            context.emit(number, {"type": "segment"})

    with Tasks([Stage("emit", emit)], TaskOptions(tmp_path)) as tasks:
        task = tasks.wait(tasks.submit(TaskRequest({}))[0].id, 60)

        async def follow() -> list[bytes]:
            return [piece async for piece in task_events(SimpleNamespace(tasks=tasks, is_draining=False), task, -1)]

        pieces = asyncio.run(follow())
    assert [piece.count(b"event: segment") for piece in pieces[:3]] == [10, 10, 5]


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
