"""The whole server as a `docker_server`: started by the image's start command, called through the generated proxy."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
from docker_server import nginx_program, proxying, serving_container
from neighbour import SAMPLE, SHORT, Neighbour
from server_process import ServerProcess
from truss_server import PREDICT, build_context, metric_of, needs_truss, wait_for

import truss_folder

pytestmark = [
    needs_truss,
    pytest.mark.skipif(nginx_program() is None, reason="needs nginx: sh tools/setup_truss_venv.sh .venv-truss .venv"),
]

SAID = " Julia drinks coffee every morning."
SLOTS = "ifw_engine_slots_occupied"
LONG = ("long.mp3", SAMPLE.read_bytes() * 40)  # 53 minutes, 13 MB: more than nginx holds in memory


class Site(NamedTuple):
    """A server, and the way to it through the proxy."""

    server: ServerProcess
    client: httpx2.Client
    socket: str


@pytest.fixture(scope="module")
def server_context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    truss_folder.make_folder(folder / "folder", "server", "A10G")
    return build_context(folder / "folder", folder / "context")


@pytest.fixture(scope="module")
def site(server_context: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        serving_container(server_context, tmp_path_factory.mktemp("site")) as server,
        proxying(server_context, server.url) as proxy,
    ):
        assert proxy.client.get("/v1/models/model").status_code in (200, 503)
        server.wait_ready()
        yield Site(server, *proxy)


def test_baseten_finds_health_and_predict(site: Site, neighbour: Neighbour) -> None:
    assert site.client.get("/").json() == {"status": "live"}
    assert site.client.get("/v1/models/model").json()["status"] == "ready"
    reply = site.client.post(PREDICT, json={"url": f"{neighbour.url}/short.ogg"})
    assert (reply.status_code, reply.json()["text"]) == (200, SAID)


def test_every_other_route_is_there(site: Site) -> None:
    files = {"file": ("short.ogg", SHORT.read_bytes())}
    task = site.client.post("/tasks", files=files, data={"language": "en"})
    assert task.status_code == 202, task.text
    events = site.client.get(f"/tasks/{task.json()['id']}/events").text
    assert '"state": "succeeded"' in events
    reply = site.client.post("/v1/audio/transcriptions", files=files, data={"model": "whisper-1"})
    assert reply.json()["text"] == SAID.strip()
    assert site.client.get("/openapi.json").status_code == 200
    assert "ifw_engine_slots" in site.client.get("/metrics").text


def test_errors_arrive_as_they_are(site: Site, neighbour: Neighbour) -> None:
    for model_input, status, code in (
        ({"url": "ftp://example.com/a"}, 422, "url_invalid"),
        ({"url": f"{neighbour.url}/not-there"}, 424, "fetch_status"),
        ({}, 422, "request_invalid"),
    ):
        reply = site.client.post(PREDICT, json=model_input)
        assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert site.client.post("/tasks/none").status_code == 405


def test_events_are_not_held_back_and_leaving_cancels(site: Site) -> None:
    """An upload larger than the proxy's buffer; its first words come while the rest is decoded."""
    form = {"model": "whisper-1", "stream": "true"}

    def n_ended(**labels: str) -> float:
        return metric_of(site.server.client, "/metrics", "ifw_transcriptions_total", kind="sync", **labels)

    n_before, n_cancelled = n_ended(), n_ended(outcome="cancelled")
    with site.client.stream("POST", "/v1/audio/transcriptions", files={"file": LONG}, data=form) as reply:
        lines = reply.iter_lines()  # the connection is closed with it
        first = next(line for line in lines if line.startswith("data: "))
        assert json.loads(first.removeprefix("data: "))["type"] == "transcript.text.delta"
        assert n_ended() == n_before
    wait_for(lambda: n_ended(outcome="cancelled") == n_cancelled + 1, "it did not end as cancelled")
    wait_for(lambda: site.server.metric(SLOTS) == 0, "the engine went on")


def test_leaving_a_prediction_cancels_it(site: Site, neighbour: Neighbour) -> None:
    neighbour.offer("/long.mp3", LONG[1])
    content = json.dumps({"url": f"{neighbour.url}/long.mp3"}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(site.socket)
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: model\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        wait_for(lambda: site.server.metric(SLOTS) > 0, "the engine never began")
    wait_for(lambda: site.server.metric(SLOTS) == 0, "the engine went on")
    (task_id,) = site.server.client.get("/tasks", params={"limit": 1}).json()["tasks"]
    wait_for(lambda: site.server.client.get(f"/tasks/{task_id}").json()["state"] == "cancelled", "it went on")


def test_secrets_are_read_where_they_are_mounted(server_context: Path, tmp_path: Path) -> None:
    secrets = {
        "admin_key": "correct-horse\n",
        "webhook_secret": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0",
        "hf_access_token": "hf_x",
    }
    with serving_container(server_context, tmp_path, secrets) as server:
        assert server.client.get("/health/live").status_code == 200
        assert server.client.get("/tasks").status_code == 401
        assert server.client.get("/tasks", headers={"X-API-Key": "correct-horse"}).status_code == 200
        server.wait_ready()
        assert server.terminate() == 0
        assert not [secret for secret in secrets.values() if secret.strip() in server.text()]
