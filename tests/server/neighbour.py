"""A web server on loopback beside the tested one: it has audio to fetch, and is told of tasks."""

from __future__ import annotations

import queue
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "src/ifw/demo/sample.mp3"
SHORT = ROOT / "tests/end_to_end/heldout/en_single_00.ogg"


@dataclass(frozen=True)
class Told:
    """One POST."""

    headers: Mapping[str, str]
    body: bytes


class Neighbour:
    """`url` and a path is something to fetch; `told` is what was posted to a path; `/held/...` may be made to wait."""

    def __init__(self) -> None:
        self._told: defaultdict[str, queue.Queue[Told]] = defaultdict(queue.Queue)
        self._open = threading.Event()
        self._open.set()
        self.n_held = 0
        self._asked: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._files = {
            "/sample.mp3": SAMPLE.read_bytes(),
            "/short.ogg": SHORT.read_bytes(),
            "/text.mp3": b"no audio" * 99,
        }
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def told(self, path: str) -> Told:
        """The next POST to a path; waits for it."""
        return self._told[path].get(timeout=60)

    def n_asked(self, path: str) -> int:
        """How often a path was fetched."""
        with self._counting:
            return self._asked[path]

    def offer(self, path: str, data: bytes) -> None:
        """Have something more to fetch."""
        self._files[path] = data

    @contextmanager
    def holding(self) -> Iterator[None]:
        """`/held/...` does not answer while the block lasts, or until `let_go`; `n_held` says how many wait."""
        self.n_held = 0
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def let_go(self) -> None:
        """Answer those that wait, in a block of `holding`."""
        self._open.set()

    def __enter__(self) -> Neighbour:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        neighbour = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                with neighbour._counting:
                    neighbour._asked[path] += 1
                if path.startswith("/held"):
                    with neighbour._counting:
                        neighbour.n_held += 1
                    neighbour._open.wait(60)
                    path = path.removeprefix("/held")
                data = neighbour._files.get(path)
                self._answer(404 if data is None else 200, data or b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                neighbour._told[self.path].put(Told(headers, body))
                self._answer(200, b"")

            def _answer(self, status: int, data: bytes) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True  # the other side has left

            def log_message(self, *_: object) -> None:
                pass

        return Handler
