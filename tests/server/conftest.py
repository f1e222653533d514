"""One server for all tests that leave it as they found it, and its neighbour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from neighbour import Neighbour
from server_process import PATIENCE_S, ServerProcess, serving


class Api:
    """The server under test and what it fetches from."""

    def __init__(self, server: ServerProcess, neighbour: Neighbour, data_dir: Path) -> None:
        self.server, self.client, self.neighbour, self.data_dir = server, server.client, neighbour, data_dir

    def url(self, path: str = "/short.ogg") -> str:
        return f"{self.neighbour.url}{path}"

    def submit(self, path: str = "/short.ogg", **options: Any) -> str:
        reply = self.client.post("/tasks", json={"url": self.url(path), **options})
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])

    def ended(self, task_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while (task := self.client.get(f"/tasks/{task_id}").json())["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, task
            time.sleep(0.02)
        return dict(task)

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, what
            time.sleep(0.02)

    def metric(self, name: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    with (
        Neighbour() as neighbour,
        serving(folder, "--allow-nets", "127.0.0.0/8", "--max-upload-bytes", "300MB") as server,
    ):
        server.wait_ready()
        yield Api(server, neighbour, folder / "data")


@pytest.fixture(scope="session")
def diarizing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that can tell speakers apart."""
    folder = tmp_path_factory.mktemp("diarizing")
    with (
        Neighbour() as neighbour,
        serving(folder, "--allow-nets", "127.0.0.0/8", "--diarization-model", "demo") as server,
    ):
        server.wait_ready()
        yield Api(server, neighbour, folder / "data")
