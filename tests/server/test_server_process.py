"""A real server process: health, keys, error bodies, limits, the log, and its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from server_process import ServerProcess, serving, wait_for

from ifw.server.run import warn_of_risks
from ifw.service.settings import load_settings

KEYS = ("key-one-4711", "kéy-two-0815")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    (folder / "keys").write_text(f"# a comment\n{KEYS[1]}  # the second\n", encoding="utf-8")
    env = {"ADMIN_KEY": KEYS[0], "ADMIN_KEY_FILE": str(folder / "keys")}
    with serving(folder, env=env) as running:
        running.wait_ready()
        yield running


def test_health_and_documentation_are_open_and_everything_else_closed(server: ServerProcess):
    assert server.client.get("/health/live").json() == {"status": "live"}
    assert server.client.get("/health/ready").json() == {"status": "ready", "model": "demo", "missing": []}
    for path in ("/metrics", "/tasks", "/nothing", "/v1/models", "/health", "/health/live/", "/docs/", "/redoc"):
        assert server.client.get(path).status_code == 401, path
    for path in ("/", "/docs", "/openapi.json"):
        assert server.client.get(path, follow_redirects=True).status_code == 200
        assert server.client.head(path).status_code != 401
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert server.client.request(method, path, json={"url": "x"}).status_code == 401, (method, path)


def test_the_documentation_knows_nothing_of_this_server(server: ServerProcess):
    for path in ("/docs", "/openapi.json"):
        text = server.client.get(path).text
        assert not any(secret in text for secret in (*KEYS, str(server.data_dir)))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "header",
    [
        "x-admin-api-key: {}",
        "X-API-Key: {}",
        "Authorization: Bearer {}",
        "authorization: bearer {}",
        "Authorization: Api-Key {}",
    ],
)
def test_every_key_opens_in_every_header(server: ServerProcess, key: str, header: str):
    name, _, value = header.format(key).partition(": ")
    assert server.client.get("/metrics", headers={name.encode(): value.encode()}).status_code == 200


@pytest.mark.parametrize("header", ["X-API-Key: ", "X-API-Key: key-one-471", "Authorization: Basic key-one-4711"])
def test_a_wrong_key_is_401_with_a_challenge(server: ServerProcess, header: str):
    name, _, value = header.partition(": ")
    reply = server.client.get("/metrics", headers={name: value})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.json()["code"] == "unauthorized"


def run_ifw(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ifw", *arguments], capture_output=True, text=True, check=False)


SECRETS = {
    "ADMIN_KEY": "planted-admin-key",
    "IFW_WEBHOOK_SECRET": "whsec_cGxhbnRlZC13ZWJob29rLXNlY3JldA==",
    "HF_TOKEN": "hf_plantedtoken",
}


def test_no_secret_is_ever_in_the_log(tmp_path: Path):
    env = {**SECRETS, "LOG_LEVEL": "debug", "IFW_ALLOW_NETS": "127.0.0.0/8"}
    with serving(tmp_path, env=env) as server:
        key = {"x-admin-api-key": SECRETS["ADMIN_KEY"]}
        server.wait_ready(key)
        client, closed = server.client, "http://planted-user:planted-pass@127.0.0.1:9/talk.mp3?sig=planted-query"
        webhook = {"url": f"{closed}&for=hook", "headers": {"X-Hook": "planted-header"}}
        assert (
            client.get("/tasks?token=planted-parameter", headers={"X-API-Key": "planted-wrong-key"}).status_code == 401
        )
        assert client.get("/docs?key=planted-parameter", headers=key).status_code == 200
        reply = client.post("/tasks", json={"url": closed, "webhook": webhook}, headers=key)
        assert reply.status_code == 202, reply.text
        path = f"/tasks/{reply.json()['id']}"
        wait_for(lambda: client.get(path, headers=key).json()["deliveries"])
        assert client.get(path, headers=key).json()["error"]["code"].startswith("fetch_")
        assert client.post("/tasks", json={"url": 7, "x": "planted-field"}, headers=key).status_code == 422
        assert server.terminate() == 0
        text, lines = server.text(), server.lines()
    assert "planted" not in text.replace(str(tmp_path), "")
    for secret in SECRETS.values():
        assert secret not in text
    assert all({"event", "level", "logger", "timestamp"} <= set(line) for line in lines)
    requests = [line for line in lines if line["logger"] == "ifw.request" and line["path"] == "/tasks"]
    assert {line["status"] for line in requests} == {401, 202, 422}
    assert all(line["request_id"] for line in requests)
    assert any(line.get("task_id") == reply.json()["id"] for line in lines)


def test_a_second_server_in_the_same_folder_and_on_the_same_port_says_so(server: ServerProcess):
    folder = server.log.parent
    taken = run_ifw("serve", "--model", "demo", "--port", "0", "--data-dir", str(folder / "data"))
    assert (taken.returncode, taken.stderr.count("\n")) == (2, 1)
    assert "data_dir_unusable" in taken.stderr
    port = server.url.rpartition(":")[2]
    taken = run_ifw("serve", "--model", "demo", "--port", port, "--data-dir", str(folder / "other"))
    assert taken.returncode == 1
    assert "address already in use" in taken.stderr
    assert "Traceback" not in taken.stderr


@pytest.mark.parametrize("arguments", [["--port", "x"], ["--nothing", "1"], ["--allow-nets", "all"]])
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_wrong_setting_ends_the_command_with_2_and_one_line(command: str, arguments: list[str]):
    ended = run_ifw(command, *arguments)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "config_invalid" in ended.stderr


def test_an_open_server_on_a_public_address_warns(caplog):
    warn_of_risks(load_settings({"host": "0.0.0.0"}))
    assert "NO ADMIN KEY" in caplog.text
    caplog.clear()
    loopback = ({"host": host} for host in ("127.0.0.1", "::1", "localhost"))
    for settings in ({"host": "0.0.0.0", "admin_key": "k"}, *loopback):
        warn_of_risks(load_settings(settings))
    assert "ADMIN KEY" not in caplog.text
