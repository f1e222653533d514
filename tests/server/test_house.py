"""What surrounds every route: error bodies, ids, limits, metrics, cross-origin rules; with routes of the test."""

from __future__ import annotations

import asyncio
import http.client
import logging
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
import uvicorn
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from server_process import wait_for

import ifw
from ifw import errors
from ifw.cli.exit_status import EXIT_STATUS
from ifw.config import TranscribeOptions
from ifw.server.app import create_app
from ifw.server.dependencies import ServiceOf
from ifw.server.statuses import STATUS
from ifw.server.waiting import segments_of, transcribed
from ifw.service.service import Service
from ifw.service.settings import load_settings
from ifw.types import Transcript

SAMPLE = Path(ifw.__file__).parent / "demo" / "sample.mp3"
router = APIRouter()


class Body(BaseModel):
    number: int


@router.post("/numbers/{name}")
@router.post("/v1/numbers/{name}")
async def number(name: str, body: Body) -> dict[str, int]:
    return {name: body.number}


@router.get("/fail/{code}")
@router.get("/v1/fail/{code}")
async def fail(code: str) -> None:
    if code == "bug":
        raise RuntimeError("the secret path is /srv/hidden")
    kinds = {kind.code: kind for kind in vars(errors).values() if isinstance(kind, type)}
    if code == "error":
        raise errors.IfwError("this is about /srv/hidden")
    raise kinds[code](f"this is about {code}")


@router.get("/text")
async def text(request: Request, service: ServiceOf) -> dict[str, str]:
    transcript = await transcribed(request, service, SAMPLE, TranscribeOptions())
    return {"text": transcript.text}


@router.get("/segments")
async def segments(service: ServiceOf) -> StreamingResponse:
    async def lines():
        async for item in segments_of(service, SAMPLE, TranscribeOptions()):
            yield "end\n" if isinstance(item, Transcript) else f"{item.text}\n"

    return StreamingResponse(lines())


class HeldTranscriber:
    """Stands before the real one: a transcription that has begun goes on only after `release`."""

    def __init__(self, service: Service) -> None:
        self.release = threading.Event()
        self.begun = threading.Event()
        self.cancelled = threading.Event()
        self._service = service
        self._before = service.transcribe_now

    def __enter__(self) -> HeldTranscriber:
        def held(source, options, *, cancel, on_segment=None, **rest):
            cancel.add_callback(self.cancelled.set)

            def hold(segment):
                self.begun.set()
                self.release.wait(60)
                if on_segment:
                    on_segment(segment)

            return self._before(source, options, cancel=cancel, on_segment=hold, **rest)

        self._service.transcribe_now = held
        return self

    def __exit__(self, *error: object) -> None:
        self.release.set()
        self._service.transcribe_now = self._before


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    named = {"model": "demo", "data_dir": folder, "n_threads": 1, "max_sync": 2, "max_sync_waiting": 0}
    service = Service(load_settings({**named, "max_body_bytes": "64KiB", "cors_origins": "https://page.example"}))
    app = create_app(service=service)
    app.include_router(router)
    config = uvicorn.Config(app, port=0, log_config=None, ws="none", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    service.model.wait()
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        yield SimpleNamespace(client=client, service=service, port=port)
    server.should_exit = True
    thread.join(60)


def metric(house, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(house.client.get("/metrics").text)
    samples = (sample for family in families for sample in family.samples)
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def test_every_code_has_a_status_that_fits():
    assert set(STATUS) >= set(EXIT_STATUS)
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize("code", [code for code in EXIT_STATUS if code not in ("internal", "error")])
def test_every_error_has_the_body_of_its_family(house, code: str):
    status = STATUS[code]
    reply = house.client.get(f"/fail/{code}")
    assert reply.status_code == status
    assert set(reply.json()) == {"detail", "code"}
    openai = house.client.get(f"/v1/fail/{code}")
    assert openai.status_code == (400 if status in (422, 424) or code == "audio_format" else status)
    assert set(openai.json()["error"]) == {"message", "type", "param", "code"}
    if status == 500:
        assert reply.json()["code"] == "internal"
    else:
        assert reply.json() == {"detail": f"this is about {code}", "code": code}
        assert openai.json()["error"]["message"] == f"this is about {code}"
    assert ("retry-after" in reply.headers) == (status in (429, 503))


@pytest.mark.parametrize("code", ["bug", "error"])
def test_what_is_our_own_fault_is_told_to_the_log_only(house, caplog, code: str):
    with caplog.at_level(logging.ERROR):
        reply = house.client.get(f"/fail/{code}", headers={"x-request-id": "mine-1"})
    assert reply.status_code == 500
    assert reply.headers["x-request-id"] == "mine-1"
    assert reply.json() == {"detail": "internal error; the log has more under request mine-1", "code": "internal"}
    assert "/srv/hidden" in caplog.text


@pytest.mark.parametrize(
    ("body", "said"),
    [("{", "JSON"), ('{"number": "x"}', "number: "), ("[]", ""), ("{}", "number: "), ('{"number": 1e400}', "number")],
)
def test_a_wrong_body_is_422_and_names_the_field(house, body: str, said: str):
    headers = {"content-type": "application/json"}
    reply = house.client.post("/numbers/one", content=body, headers=headers)
    assert reply.status_code == 422
    assert reply.json()["code"] == "request_invalid"
    assert said in reply.json()["detail"]
    openai = house.client.post("/v1/numbers/one", content=body, headers=headers)
    assert openai.status_code == 400
    assert openai.json()["error"]["type"] == "invalid_request_error"


def test_a_secret_value_in_a_wrong_body_is_not_repeated(house):
    assert "hunter2" not in house.client.post("/numbers/one", json={"number": "hunter2"}).text


def test_404_and_405_have_bodies_too(house):
    reply = house.client.get("/nothing/here")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    reply = house.client.put("/health/live")
    assert (reply.status_code, reply.json()["code"], reply.headers["allow"]) == (405, "method_not_allowed", "GET")
    assert house.client.get("/v1/nothing").json()["error"]["code"] == "not_found"


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(house):
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
    connection.putrequest("POST", "/numbers/one")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(1 << 30))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_that_grows_too_large_is_refused(house):
    pieces = (b" " * 4096 for _ in range(17))
    reply = house.client.post("/numbers/one", content=pieces, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["code"]) == (413, "request_too_large")
    form = {"content-type": "multipart/form-data; boundary=x"}
    reply = house.client.post("/numbers/one", content=b" " * 70_000, headers=form)  # no route for uploads
    assert reply.status_code == 413


def test_huge_headers_are_refused_and_the_server_lives(house):
    try:
        reply = house.client.get("/health/live", headers={"x-long": "a" * (1 << 20)})
        assert 400 <= reply.status_code < 500
    except httpx2.TransportError:
        pass  # the connection was closed before all was sent
    assert house.client.get("/health/live").status_code == 200


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "a\u00e9"])
def test_an_id_that_is_no_plain_word_is_replaced(house, given: str):
    got = house.client.get("/health/live", headers=[(b"x-request-id", given.encode())]).headers["x-request-id"]
    assert got != given
    assert len(got) == 32


def test_pages_of_named_origins_may_call(house):
    asked = {"origin": "https://page.example", "access-control-request-method": "POST"}
    allowed = {**asked, "access-control-request-headers": "x-api-key,content-type"}
    reply = house.client.options("/numbers/one", headers=allowed)
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "https://page.example"
    assert house.client.options("/numbers/one", headers={**asked, "origin": "https://evil.example"}).status_code == 400
    assert "access-control-allow-origin" not in house.client.get("/health/live").headers


def test_transcribes_for_a_client_that_waits(house):
    before = metric(house, "ifw_audio_seconds_total", kind="sync")
    assert len(house.client.get("/text").json()["text"]) > 100
    assert metric(house, "ifw_audio_seconds_total", kind="sync") - before == pytest.approx(79.7, abs=1)
    assert metric(house, "ifw_transcriptions_total", kind="sync", outcome="succeeded") >= 1
    assert metric(house, "ifw_speed_factor_count", kind="sync") >= 1


def test_segments_come_before_the_end(house):
    with HeldTranscriber(house.service) as held, house.client.stream("GET", "/segments") as reply:
        lines = reply.iter_lines()
        assert held.begun.wait(60)
        held.release.set()
        first = next(lines)
        assert [first, *lines][-1] == "end"


@pytest.mark.parametrize("path", ["/text", "/segments"])
def test_a_client_that_leaves_ends_its_work(house, caplog, path: str):
    with HeldTranscriber(house.service) as held:
        connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
        connection.request("GET", path)
        assert held.begun.wait(60)
        connection.sock.close()
        assert held.cancelled.wait(60)
    while house.service.n_sync:
        time.sleep(0.01)
    assert metric(house, "ifw_engine_slots_occupied") == 0
    assert "request failed" not in caplog.text
    if path == "/text":
        wait_for(lambda: metric(house, "ifw_requests_total", route=path, status="499"))


def test_the_server_answers_while_it_transcribes_and_refuses_what_is_too_much(house):
    with HeldTranscriber(house.service) as held:
        threads = [threading.Thread(target=house.client.get, args=("/text",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert held.begun.wait(60)
        while house.service.n_sync < 2:
            time.sleep(0.01)
        assert house.client.get("/health/ready").status_code == 200
        assert metric(house, "ifw_sync_requests") == 2
        reply = house.client.get("/text")
        assert (reply.status_code, reply.json()["code"]) == (429, "queue_full")
        assert int(reply.headers["retry-after"]) > 0
    for thread in threads:
        thread.join(60)


def test_metrics_have_no_series_of_times_of_creation(house):
    house.client.get("/health/live")
    text = house.client.get("/metrics").text
    assert "ifw_requests_total" in text
    assert "_created" not in text


def test_metrics_are_by_route_and_not_by_path(house):
    for name in ("a", "b", "c"):
        house.client.post(f"/numbers/{name}", json={"number": 1})
    house.client.get("/no/such/path")
    assert metric(house, "ifw_requests_total", route="/numbers/{name}", method="POST", status="200") == 3
    assert metric(house, "ifw_request_seconds_count", route="/numbers/{name}", method="POST") >= 3
    assert metric(house, "ifw_requests_total", route="unmatched", status="404") >= 1
    assert metric(house, "ifw_requests_total", route="/no/such/path") == 0
    assert metric(house, "ifw_model_loaded") == 1
    assert metric(house, "ifw_engine_slots") >= 1


def test_the_event_loop_is_not_blocked_by_readiness(house):
    async def many() -> list[int]:
        async with httpx2.AsyncClient(base_url=str(house.client.base_url), timeout=60, trust_env=False) as client:
            return [
                reply.status_code for reply in await asyncio.gather(*(client.get("/health/ready") for _ in range(50)))
            ]

    assert set(asyncio.run(many())) == {200}


def test_a_browser_is_led_to_the_documentation(api):
    reply = api.client.get("/")
    assert (reply.status_code, reply.headers["location"]) == (307, "/docs")
    assert api.client.get("/", follow_redirects=True).text.startswith("\n    <!DOCTYPE html>")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("langauge", "en", "langauge: there is no such field; /docs lists those that there are"),
        ("vad", False, "vad: allowed: a JSON object"),
        ("clip", ["0-10"], "clip.0: allowed: a JSON list"),
    ],
)
def test_refusals_are_in_the_words_of_http(api, field, value, told):
    reply = api.client.post("/tasks", json={"url": api.url(), field: value})
    assert reply.json() == {"detail": told, "code": "request_invalid"}
