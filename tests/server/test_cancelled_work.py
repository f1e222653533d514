"""Cancelling reaches the engine: its slots are free again."""

from __future__ import annotations

import io
import json
import socket
import wave
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from neighbour import SAMPLE

from ifw.audio import decode

SLOTS = "ifw_engine_slots_occupied"


@pytest.fixture(scope="module")
def hour(api: Any) -> str:
    """Speech that takes the demo model minutes; its URL."""
    samples = (np.tile(decode(SAMPLE).samples, 120) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16000, 0, "NONE", ""))
        writer.writeframes(samples.tobytes())
    api.neighbour.offer("/hour.wav", file.getvalue())
    return str(api.url("/hour.wav"))


def leave(api: Any, path: str, body: dict[str, Any], when: Callable[[], bool]) -> None:
    """Ask for something and close the connection once something is so."""
    content = json.dumps(body).encode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}\r\n"
    port = int(api.server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + content)
        api.until(when, "the engine never began")


@pytest.mark.parametrize("path", ["/", "/predict"])
def test_a_client_that_goes_away_frees_the_engine(api: Any, hour: str, path: str) -> None:
    leave(api, path, {"url": hour}, lambda: api.metric(SLOTS) > 0)
    api.until(lambda: api.metric(SLOTS) == 0, "the engine went on")
    task_id = api.client.get("/tasks", params={"limit": 1}).json()["tasks"][0]
    assert api.ended(task_id)["state"] == "cancelled"


@pytest.mark.parametrize("how", ["/tasks/{}", "/cancel/{}", "/async_request/{}"])
def test_a_running_task_that_is_cancelled_frees_the_engine(api: Any, hour: str, how: str) -> None:
    task_id = api.client.post("/tasks", json={"url": hour}).json()["id"]
    api.until(lambda: api.metric(SLOTS) > 0, "the engine never began")
    assert api.client.delete(how.format(task_id)).status_code == 200
    api.until(lambda: api.metric(SLOTS) == 0, "the engine went on")
    assert api.ended(task_id)["state"] == "cancelled"
