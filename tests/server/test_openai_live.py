"""OpenAI's routes inside this process, where the engine can be watched: who leaves, who must wait, what breaks late."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.server
import socket
import threading
import time
import types
from importlib.resources import files
from pathlib import Path

import httpx2
import openai
import openai._base_client
import pytest
from in_process import PATIENCE_S, InProcess, until
from server_process import serving

from ifw.server import routes, running_items
from ifw.server.openai import events as openai_events
from ifw.server.openai import stream as openai_stream
from ifw.server.running_items import RunningItems

SAMPLE = Path(str(files("ifw") / "demo" / "sample.mp3"))
LONG = ("long.mp3", SAMPLE.read_bytes() * 40)  # 53 minutes


def client_of(process):
    return openai.OpenAI(base_url=f"{process.url}/v1", api_key="any", max_retries=0)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with InProcess(tmp_path_factory.mktemp("live"), allow_nets=("127.0.0.0/8",)) as running:
        yield running


@contextlib.contextmanager
def occupied(server):
    """A request for 53 minutes of audio that has given its first event, and is being worked on."""
    with server.client() as client:
        stream = client.audio.transcriptions.create(model="demo", file=LONG, stream=True)
        first = next(iter(stream))
        assert first.delta == "Good morning, Peter."
        assert not server.is_idle()
        yield stream
        stream.close()


def test_events_come_while_the_rest_is_being_heard_and_a_client_that_leaves_ends_the_work(server):
    before = server.stats.n_completed
    with occupied(server):
        assert server.service.n_sync == 1
        assert server.spooled() == [], "an upload has no name any more while it is heard"
    until(server.is_idle)
    assert server.stats.n_completed - before < 53 * 60 / 30, "the end of the file was never heard"


def test_a_client_that_waits_for_the_whole_and_leaves_ends_the_work(server):
    before = server.stats
    form = {"files": {"file": LONG}, "data": {"model": "demo"}}

    async def ask_and_leave():
        async with httpx2.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
            asking = asyncio.ensure_future(client.post(f"{server.url}/audio/transcriptions", **form))
            await asyncio.to_thread(until, lambda: server.stats.n_completed > before.n_completed)
            assert not asking.done()
            asking.cancel()
            await asyncio.wait([asking])

    asyncio.run(ask_and_leave())
    until(server.is_idle)
    assert server.stats.n_completed - before.n_completed < 53 * 60 / 30
    assert server.spooled() == []


def test_a_full_server_says_when_to_ask_again_and_the_sdk_does(server, monkeypatch):
    waits = []
    with occupied(server) as stream, server.client() as once, server.client(max_retries=1) as patient:
        with pytest.raises(openai.RateLimitError) as raised:
            once.audio.transcriptions.create(model="demo", file=SAMPLE)
        error = raised.value
        assert (error.type, error.param, error.code) == ("rate_limit_error", None, "queue_full")
        assert error.response.headers["retry-after"] == "5"
        assert error.request_id

        def wait(wait_s):
            waits.append(wait_s)
            stream.close()
            until(server.is_idle)

        patched = types.SimpleNamespace(**{**vars(time), "sleep": wait})
        monkeypatch.setattr(openai._base_client, "time", patched)
        got = patient.audio.transcriptions.create(model="demo", file=SAMPLE)
    assert got.text.startswith("Good morning, Peter.")
    assert waits == [5.0]


def test_what_breaks_in_the_middle_of_a_stream_is_an_event_that_the_sdk_raises(tmp_path):
    with serving(tmp_path, "--max-audio", "400", "--n-slots", "1") as short, client_of(short) as client:
        short.wait_ready()
        stream = client.audio.transcriptions.create(model="demo", file=LONG, stream=True)
        got = []
        with pytest.raises(openai.APIError, match=r"400 s") as raised:
            got.extend(event.delta for event in stream)
        assert len(got) > 1
        assert raised.value.code == "audio_too_long"
        assert set(raised.value.body) == {"message", "type", "param", "code"}


def test_a_model_that_cannot_be_loaded_is_503_with_a_time_to_ask_again(tmp_path):
    with serving(tmp_path, "--model", str(tmp_path / "nothing")) as broken, client_of(broken) as client:
        until(lambda: '"loading"' not in broken.client.get("/health/ready").text)
        with pytest.raises(openai.InternalServerError) as raised:
            client.audio.transcriptions.create(model="nothing", file=SAMPLE)
        error = raised.value
        assert (error.status_code, error.type, error.code) == (503, "server_error", "not_ready")
        assert error.response.headers["retry-after"] == "5"
        assert [model.id for model in client.models.list()] == ["nothing", "whisper-1"]
        health = broken.client.get("/health/ready").text
    assert "model_" in health
    for told in (error.message, health):
        assert str(tmp_path) not in told


def test_a_silent_stream_is_kept_alive_by_comments_that_the_sdk_drops(server, monkeypatch):
    with server.client() as client:
        expected = client.audio.transcriptions.create(model="demo", file=SAMPLE).text
        monkeypatch.setattr(running_items, "FIRST_EVENT_S", 0.0)
        monkeypatch.setattr(openai_stream, "KEEP_ALIVE_S", 0.001)
        stream = client.audio.transcriptions.create(model="demo", file=SAMPLE, stream=True)
        assert [event.text for event in stream if event.type == "transcript.text.done"] == [expected]
        reply = httpx2.post(
            f"{server.url}/audio/transcriptions", files={"file": SAMPLE.read_bytes()}, data={"stream": "true"}
        )
    assert reply.text.startswith(": \n\n")
    assert reply.text.count(": \n\n") > 1


def test_items_that_are_closed_while_they_are_waited_for():
    """Closing ends the generator behind them, and then what it needs."""
    order = []

    async def items():
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            order.append("items")

    async def use():
        cleanup = contextlib.AsyncExitStack()
        cleanup.callback(order.append, "cleanup")
        running = RunningItems(items(), cleanup)
        assert await running.next(PATIENCE_S) == "first"
        assert await running.next(0.0) is None
        assert await running.next(0.01) is None
        await running.close()

    asyncio.run(asyncio.wait_for(use(), PATIENCE_S))
    assert order == ["items", "cleanup"]


@pytest.fixture
def web_server():
    handler = functools.partial(QuietHandler, directory=str(SAMPLE.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Tests print nothing."""


def asked_by_url(server, **fields):
    form = {name: (None, value) for name, value in fields.items()}
    return httpx2.post(f"{server.url}/audio/transcriptions", files=form, timeout=PATIENCE_S)


def test_a_url_in_place_of_a_file(server, web_server):
    reply = asked_by_url(server, url=f"{web_server}/sample.mp3", model="demo")
    assert reply.json()["text"].startswith("Good morning, Peter.")
    assert server.spooled() == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("{web}/nothing.mp3?token=secret", "fetch_status"),
        ("http://10.0.0.1/a.mp3?token=secret", "url_forbidden"),
        ("file:///etc/passwd", "url_invalid"),
        ("{web}/sample.json?token=secret", "audio_format"),
    ],
)
def test_urls_that_give_no_audio(server, web_server, url, code):
    reply = asked_by_url(server, url=url.format(web=web_server))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, code)
    assert error["param"] == ("file" if code == "audio_format" else "url")
    assert "secret" not in error["message"]
    assert server.spooled() == []


def test_a_url_beside_a_file_is_refused(server):
    form = {"file": b"x", "url": (None, "https://example.org/a.mp3")}
    reply = httpx2.post(f"{server.url}/audio/transcriptions", files=form)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "file")


def test_a_full_server_refuses_an_upload_before_it_is_sent(server):
    address = httpx2.URL(server.url)
    with occupied(server), socket.create_connection((address.host, address.port), PATIENCE_S) as connection:
        head = (
            f"Host: {address.host}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"
        )
        connection.sendall(f"POST /v1/audio/transcriptions HTTP/1.1\r\n{head}".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 429 ")


@pytest.mark.parametrize(
    ("module", "name", "answer"),
    [
        (routes.openai, "json_response", {"response_format": "json"}),
        (routes.openai, "verbose_response", {"response_format": "verbose_json"}),
        (routes.openai, "text_response", {"response_format": "text"}),
        (openai_events, "done_event", {"stream": "true"}),
        (routes.legacy, "legacy_output", None),
    ],
)
def test_what_may_be_long_is_not_written_in_the_event_loop(server, monkeypatch, module, name, answer):
    original, was_in_loop = getattr(module, name), []

    def noted(*arguments):
        was_in_loop.append(asyncio._get_running_loop() is not None)
        return original(*arguments)

    monkeypatch.setattr(module, name, noted)
    until(server.is_idle)  # a client of another test may have left just now
    root = server.url.removesuffix("/v1")
    with httpx2.Client(base_url=root, timeout=PATIENCE_S, trust_env=False) as client:
        form = {"file": SAMPLE.read_bytes()}
        if answer is None:
            task_id = client.post("/tasks", files=form).json()["id"]
            until(lambda: client.get(f"/status/{task_id}").json()["status"] == "completed")
        else:
            reply = client.post("/v1/audio/transcriptions", files=form, data=answer)
            assert reply.status_code == 200, reply.text
    assert was_in_loop
    assert not any(was_in_loop)
