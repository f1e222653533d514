"""A real `ifw serve` with a key under attack, and what it must not give away."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from attacker import NameServer, Site
from canaries import FileCanary, PortCanary
from server_process import PATIENCE_S, ServerProcess

ROOT = Path(__file__).parents[2]
SHORT = ROOT / "tests/end_to_end/heldout/en_single_00.ogg"
KEY = "key-of-the-besieged-server"
SECRET = "hunter2-must-not-be-seen"
UNSEEN = (KEY, SECRET, "CANARY-FILE")
LEAKS = re.compile(r'Traceback|File "|/site-packages/|\.py\b|\bsqlite3?\.|sqlalchemy', re.I)


class Answer(NamedTuple):
    """What came back."""

    status: int
    text: str

    @property
    def code(self) -> str:
        """The stable name of what went wrong, in either shape."""
        body = json.loads(self.text)
        return str(body["error"]["code"] if "error" in body else body["code"])


class Siege:
    """The server, the attacker, and the canaries."""

    def __init__(self, server: ServerProcess, site: Site, names: NameServer, files: FileCanary, ports: PortCanary):
        self.server, self.site, self.names, self.files, self.ports = server, site, names, files, ports
        self.client = httpx2.Client(
            base_url=server.url, timeout=PATIENCE_S, trust_env=False, headers={"x-api-key": KEY}
        )
        self._folders = (str(server.data_dir), str(files.folder), str(ROOT / "src"))

    def ask(self, method: str, path: str, **request: Any) -> Answer:
        """Send a request with the key; what comes back has nothing that it must not have."""
        return self.checked(self.client.request(method, path, **request))

    def checked(self, reply: httpx2.Response) -> Answer:
        self._check_text(reply.text + str(reply.headers))
        return Answer(reply.status_code, reply.text)

    def raw(self, data: bytes, *, with_key: bool = True) -> list[Answer]:
        """Send bytes as they are and read every reply until the server closes the connection."""
        replies = b""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(keyed(data) if with_key else data)
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(1 << 16):
                    replies += piece
        self._check_text(replies.decode("latin-1"))
        return list(_answers(replies))

    def cut_off(self, data: bytes, way: int | None = None, *, with_key: bool = True) -> None:
        """Send the beginning of a request, and leave: by a half or a whole goodbye, or without a word."""
        with self.connect() as connection:
            connection.sendall(keyed(data) if with_key else data)
            if way is not None:
                with contextlib.suppress(ConnectionError):
                    connection.shutdown(way)
                    while connection.recv(1 << 16):
                        pass

    def connect(self) -> socket.socket:
        host, port = self.server.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=PATIENCE_S)

    def submit(self, url: str, **options: Any) -> str:
        reply = self.ask("POST", "/tasks", json={"url": url, **options})
        assert reply.status == 202, reply.text
        return str(json.loads(reply.text)["id"])

    def upload(self, data: bytes, name: str = "talk.mp3", kind: str = "audio/mpeg", **fields: str) -> str:
        reply = self.ask("POST", "/tasks", files={"file": (name, data, kind)}, data=fields)
        assert reply.status == 202, reply.text
        return str(json.loads(reply.text)["id"])

    def ended(self, task_id: str) -> dict[str, Any]:
        """The task when it has ended."""
        return self.when(task_id, lambda task: task["state"] not in ("queued", "running"))

    def when(self, task_id: str, is_so: Any) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so(task := json.loads(self.ask("GET", f"/tasks/{task_id}").text)):
            assert time.monotonic() < deadline, task
            time.sleep(0.02)
        return dict(task)

    def failure(self, task_id: str) -> str:
        """The code with which a task fails."""
        task = self.ended(task_id)
        assert task["state"] == "failed", task
        return str(task["error"]["code"])

    def quiet(self) -> None:
        """Wait until no request is being served, and nothing of one is left on the disk."""
        deadline = time.monotonic() + PATIENCE_S
        while found := self._left_over():
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def _left_over(self) -> list[str]:
        tasks = set(json.loads(self.ask("GET", "/tasks?limit=1000").text)["tasks"])
        spool = {path.name for path in (self.server.data_dir / "spool").glob("*")}
        return [*(spool - tasks), *(path.name for path in (self.server.data_dir / "requests").glob("*"))]

    def check(self) -> None:
        """Nothing was touched, nothing was told to the log, and the server is well."""
        assert not self.files.was_touched(), "a file outside of the data folder was opened"
        assert self.ports.touches() == [], "the inner network was connected to"
        ready = self.client.get("/health/ready")
        assert ready.status_code == 200, ready.text
        log = self.server.new_text()
        lines = [json.loads(line) for line in log.splitlines()]
        assert [line for line in lines if line["level"] in ("error", "critical") or "exception" in line] == []
        for secret in UNSEEN:
            assert secret not in log

    def _check_text(self, text: str) -> None:
        assert not (leak := LEAKS.search(text)), (leak, text)
        for secret in (*UNSEEN, *self._folders):
            assert secret not in text


def _answers(replies: bytes) -> Sequence[Answer]:
    """Replies on one connection, each with a Content-Length."""
    found = []
    while replies:
        head, _, rest = replies.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
        n_bytes = int(length[1]) if length else len(rest)
        found.append(Answer(int(head.split(b" ", 2)[1]), rest[:n_bytes].decode()))
        replies = rest[n_bytes:]
    return found


def keyed(request: bytes) -> bytes:
    """The same request with the key behind its first line."""
    first, end, rest = request.partition(b"\r\n")
    return first + end + f"x-api-key: {KEY}\r\n".encode() + rest


def form(*parts: tuple[Mapping[str, str] | str, bytes], boundary: str = "b", end: bytes = b"--b--\r\n") -> bytes:
    """A multipart body; a part's headers are a mapping, or the name of a text field."""
    body = b""
    for given, content in parts:
        headers = {"Content-Disposition": f'form-data; name="{given}"'} if isinstance(given, str) else given
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        body += f"--{boundary}\r\n{lines}\r\n".encode() + content + b"\r\n"
    return body + end
