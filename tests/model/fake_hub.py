"""A hub on the loopback interface: enough of its API for `snapshot_download`, with gates, tokens and failures."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0ff"
TOKEN = "hf_right"


@dataclass
class Repository:
    """One model repository.

    `gate` closes the files (not the listing) to everybody without TOKEN; `is_private` hides everything from them.
    """

    files: dict[str, bytes]
    gate: bool = False
    is_private: bool = False
    fails_with: int | None = None  # status of every answer
    breaks_off: set[str] = field(default_factory=set)  # files whose connection closes half-way


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]


class Hub:
    """The server's state: what it has, and what it was asked."""

    def __init__(self, repositories: dict[str, Repository]) -> None:
        self.repositories = repositories
        self.requests: list[Request] = []
        self.endpoint = ""

    def fetched(self) -> list[str]:
        """Names of the files whose content was sent."""
        paths = [request.path for request in self.requests if request.method == "GET" and "/resolve/" in request.path]
        return sorted(path.split("/resolve/")[1].split("/", 1)[1] for path in paths)


@contextmanager
def serve(repositories: dict[str, Repository]) -> Iterator[Hub]:
    hub = Hub(repositories)

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Hub

    def log_message(self, *arguments: object) -> None:
        """Keep the output clean; `Hub.requests` has the log."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append(Request(self.command, path, {k.lower(): v for k, v in self.headers.items()}))
        parts = path.removeprefix("/api/models").strip("/").split("/")
        repo_id = "/".join(parts[:2])
        repository = self.state.repositories.get(repo_id)
        has_token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository.is_private and not has_token):
            return self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        if repository.fails_with is not None:
            return self._send(repository.fails_with, b"{}")
        if path.startswith("/api/"):
            return self._send(200, json.dumps(self._api(repo_id, repository, parts[2:])).encode())
        if repository.gate and not has_token:
            return self._send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "restricted"})
        return self._send_file(repository, "/".join(parts[4:]))

    def _api(self, repo_id: str, repository: Repository, rest: list[str]) -> object:
        if rest[:1] == ["tree"]:
            return [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in repository.files.items()
            ]
        siblings = [{"rfilename": name} for name in repository.files]
        return {"id": repo_id, "modelId": repo_id, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}

    def _send_file(self, repository: Repository, name: str) -> None:
        if name not in repository.files:
            return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        content = repository.files[name]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if name in repository.breaks_off and self.command == "GET":
            self._send(200, content, headers, n_sent=len(content) // 2)
            self.close_connection = True
            return None
        return self._send(200, content, headers)

    def _send(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, n_sent: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:n_sent])
