"""A large upload goes to the disk, not into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PIECE = bytes(range(256)) * 4096
N_PIECES = 200
MAX_GROWTH_BYTES = 40 << 20


def form(n_pieces: int) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
    for _ in range(n_pieces):
        yield PIECE
    yield b"\r\n--b--\r\n"


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the peak of memory that Linux counts")
def test_memory_does_not_grow_with_the_file(api: Any, is_chunked: bool) -> None:
    pid = api.server.process.pid
    headers = {"content-type": "multipart/form-data; boundary=b"}
    if not is_chunked:
        headers["content-length"] = str(sum(len(piece) for piece in form(0)) + N_PIECES * len(PIECE))
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak starts again from what is used now
    before = peak_bytes(pid)
    reply = api.client.post("/tasks", content=form(N_PIECES), headers=headers)
    grown = peak_bytes(pid) - before
    assert reply.status_code == 202, reply.text
    assert reply.json()["source"]["n_bytes"] == N_PIECES * len(PIECE)
    assert grown < MAX_GROWTH_BYTES
    assert api.ended(reply.json()["id"])["error"]["code"] == "audio_format"
    assert api.client.delete(f"/tasks/{reply.json()['id']}").status_code == 204
