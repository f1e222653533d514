"""A real server process: health, keys, error bodies, limits, the log, and its end."""

from __future__ import annotations

import pytest
from server_process import ServerProcess, serving

KEYS = ("key-one-4711", "key-two-0815")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    (folder / "keys").write_text(f"# a comment\n{KEYS[1]}  # the second\n")
    env = {"ADMIN_KEY": KEYS[0], "ADMIN_KEY_FILE": str(folder / "keys")}
    with serving(folder, env=env) as running:
        running.wait_ready()
        yield running


def test_health_is_open_and_everything_else_closed(server: ServerProcess):
    assert server.client.get("/health/live").json() == {"status": "live"}
    assert server.client.get("/health/ready").json() == {"status": "ready", "model": "demo", "missing": []}
    for path in ("/docs", "/openapi.json", "/metrics", "/", "/nothing", "/v1/models", "/health", "/health/live/"):
        assert server.client.get(path).status_code == 401, path


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "header", ["x-admin-api-key: {}", "X-API-Key: {}", "Authorization: Bearer {}", "authorization: bearer {}"]
)
def test_every_key_opens_in_every_header(server: ServerProcess, key: str, header: str):
    name, _, value = header.format(key).partition(": ")
    assert server.client.get("/openapi.json", headers={name: value}).status_code == 200


@pytest.mark.parametrize("header", ["X-API-Key: ", "X-API-Key: key-one-471", "Authorization: Basic key-one-4711"])
def test_a_wrong_key_is_401_with_a_challenge(server: ServerProcess, header: str):
    name, _, value = header.partition(": ")
    reply = server.client.get("/openapi.json", headers={name: value})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.json()["code"] == "unauthorized"


def test_sigterm_ends_the_process_with_status_0(tmp_path):
    with serving(tmp_path) as server:
        assert server.terminate() == 0
