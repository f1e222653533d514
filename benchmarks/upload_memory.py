"""How far a server's memory grows with an upload of 1 GB, on every route that takes audio in.

    python benchmarks/upload_memory.py

Runs `ifw serve` with the demo model on loopback, and sends it an hour and a half of silence as WAV, which it
transcribes too; routes that take none are given the URL of such a file. Memory is what is resident of the server and of
all its processes together (what several share counts once), against what it was after a file of ten minutes. Uploads
that are cut off come last.
"""

from __future__ import annotations

import argparse
import http.server
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from server import serving

RATE, FRAME_BYTES = 48_000, 4  # stereo of 16 bits
PIECE = bytes(1 << 20)
WARM_BYTES = 600 * RATE * FRAME_BYTES
LIMIT_BYTES = 100 << 20
N_CUT_OFF = 10


def wav(n_bytes: int) -> Iterator[bytes]:
    """Silence as WAV, in pieces."""
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", n_bytes + 36, b"WAVE", b"fmt ", 16, 1, 2, RATE, RATE * 4, 4, 16)
    yield head + struct.pack("<4sI", b"data", n_bytes)
    for start in range(0, n_bytes, len(PIECE)):
        yield PIECE[: n_bytes - start]


def form(n_bytes: int, field: str) -> Iterator[bytes]:
    """A form with such a file."""
    yield f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="silence.wav"\r\n\r\n'.encode()
    yield from wav(n_bytes)
    yield b"\r\n--b--\r\n"


class Silence(http.server.BaseHTTPRequestHandler):
    """Serves silence of as many bytes as the path says."""

    def do_GET(self) -> None:
        """Send it."""
        n_bytes = int(self.path.strip("/"))
        self.send_response(200)
        self.send_header("Content-Length", str(n_bytes + 44))
        self.end_headers()
        for piece in wav(n_bytes):
            self.wfile.write(piece)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@contextmanager
def silence() -> Iterator[str]:
    """A web server on loopback; gives its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silence)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Memory(threading.Thread):
    """Follows the resident memory of a process, and of it with all its children."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._is_over = threading.Event()
        self.start_bytes = self.peak_bytes = self._now()
        self.start()

    def run(self) -> None:
        """Until it is told to end."""
        while not self._is_over.wait(0.02):
            self.peak_bytes = tuple(map(max, self.peak_bytes, self._now()))

    def grown_bytes(self) -> tuple[int, ...]:
        """End, and tell how far each went above where it was."""
        self._is_over.set()
        self.join()
        return tuple(peak - start for peak, start in zip(self.peak_bytes, self.start_bytes, strict=True))

    def _now(self) -> tuple[int, ...]:
        own = self._process.memory_info().rss
        total = self._process.memory_full_info().pss
        for child in self._process.children(recursive=True):
            try:
                total += child.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        return own, total


def sender(
    client: httpx2.Client, path: str, field: str, *, is_chunked: bool = False
) -> Callable[[int], httpx2.Response]:
    """What uploads a file of some size to a route."""

    def send(n_bytes: int) -> httpx2.Response:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        if not is_chunked:
            headers["content-length"] = str(n_bytes + sum(map(len, form(0, field))))
        return client.post(path, content=form(n_bytes, field), headers=headers)

    return send


def routes(client: httpx2.Client, source: str) -> dict[str, Callable[[int], httpx2.Response]]:
    """Every way in."""
    return {
        "`POST /tasks`": sender(client, "/tasks", "file"),
        "`POST /tasks`, chunked": sender(client, "/tasks", "file", is_chunked=True),
        "`POST /tasks`, a URL": lambda n_bytes: client.post("/tasks", json={"url": f"{source}/{n_bytes}"}),
        "`POST /`, a URL": lambda n_bytes: client.post("/", json={"url": f"{source}/{n_bytes}"}),
        "`POST /v1/audio/transcriptions`": sender(client, "/v1/audio/transcriptions", "file"),
        "`POST /asr`": sender(client, "/asr?output=json", "audio_file"),
    }


def finish(client: httpx2.Client, reply: httpx2.Response) -> None:
    """Wait until the audio has been transcribed, and remove the task."""
    reply.raise_for_status()
    if reply.status_code == 202:
        task_id = reply.json()["id"]
        while (task := client.get(f"/tasks/{task_id}").json())["state"] in ("queued", "running"):
            time.sleep(0.1)
        if task["state"] != "succeeded":
            raise SystemExit(f"the task failed: {task['error']}")
    else:
        task_id = reply.json().get("task_id")
    if task_id is not None:
        client.delete(f"/tasks/{task_id}").raise_for_status()


def cut_off(url: str, n_bytes: int) -> None:
    """Send the beginning of an upload, and leave."""
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /tasks HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}Content-Length: {2 * n_bytes}\r\n\r\n".encode())
        for piece in form(n_bytes, "file"):
            if piece != b"\r\n--b--\r\n":
                connection.sendall(piece)


def left_over(folder: Path) -> list[str]:
    """What lies in the folders of uploads."""
    return [str(path.relative_to(folder)) for name in ("spool", "requests") for path in (folder / name).rglob("*")]


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-bytes", type=int, default=1 << 30)
    n_bytes = parser.parse_args().n_bytes
    worst = 0
    with tempfile.TemporaryDirectory() as name, silence() as source:
        folder = Path(name)
        with (
            serving(folder, ["--allow-nets", "127.0.0.0/8", "--n-threads", "1"]) as url,
            httpx2.Client(base_url=url, timeout=600, trust_env=False) as client,
        ):
            (process,) = psutil.Process().children()
            print("| | server, MB | all its processes, MB | s |\n|---|---|---|---|")
            for route, send in routes(client, source).items():
                finish(client, send(WARM_BYTES))
                started, memory = time.perf_counter(), Memory(process)
                finish(client, send(n_bytes))
                own, total = memory.grown_bytes()
                worst = max(worst, own, total)
                print(f"| {route} | {own / 1e6:.0f} | {total / 1e6:.0f} | {time.perf_counter() - started:.1f} |")
            for _ in range(N_CUT_OFF):
                cut_off(url, n_bytes // 8)
            deadline = time.monotonic() + 60
            while left := left_over(folder):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            print(f"\nleft of {N_CUT_OFF} uploads that were cut off: {', '.join(left) or 'nothing'}")
    return int(worst > LIMIT_BYTES or bool(left))


if __name__ == "__main__":
    sys.exit(main())
