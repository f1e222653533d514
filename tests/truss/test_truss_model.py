"""The model on Truss's own inference server, from a build context that its own builder has made."""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import diarizing
import numpy as np
import pytest
from neighbour import SAMPLE, SHORT, Neighbour
from truss_server import PATIENCE_S, PREDICT, TrussProcess, needs_truss, serving_truss, wait_for

from ifw.audio import decode

pytestmark = needs_truss

SAID = " Julia drinks coffee every morning."
SLOTS = "ifw_engine_slots_occupied"
N_TOGETHER = 8
KEY = "correct horse"


def events_of(reply: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in reply.splitlines() if line.startswith("data: ")]


@pytest.fixture(scope="module")
def hour(neighbour: Neighbour) -> str:
    """Speech that takes the demo model minutes; its URL."""
    samples = (np.tile(decode(SAMPLE).samples, 60) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16000, 0, "NONE", ""))
        writer.writeframes(samples.tobytes())
    neighbour.offer("/hour.wav", file.getvalue())
    return f"{neighbour.url}/hour.wav"


def test_a_url(truss: TrussProcess, neighbour: Neighbour) -> None:
    given = {"task": "transcribe", "language": "None", "batch_size": 24, "timestamp": "chunk", "chunk_length_s": 30}
    reply = truss.predict(url=f"{neighbour.url}/short.ogg", diarise_audio=False, **given)
    assert reply.status_code == 200, reply.text
    (chunk,) = reply.json()["chunks"]
    assert reply.json() == {"text": SAID, "chunks": [chunk], "speakers": []}
    assert chunk["text"] == SAID
    assert 0 <= chunk["timestamp"][0] < chunk["timestamp"][1] < 4


@pytest.mark.parametrize("timestamp", ["word", "work"])
def test_words(truss: TrussProcess, neighbour: Neighbour, timestamp: str) -> None:
    output = truss.predict(url=f"{neighbour.url}/short.ogg", timestamp=timestamp).json()
    assert [chunk["text"].strip() for chunk in output["chunks"]] == SAID.split()


@pytest.mark.parametrize("head", ["", "data:audio/ogg;base64,"])
def test_base64(truss: TrussProcess, head: str) -> None:
    packed = base64.encodebytes(SHORT.read_bytes()).decode()  # with line breaks
    reply = truss.predict(audio=head + packed, language="en")
    assert (reply.status_code, reply.json()["text"]) == (200, SAID)


def test_a_stream(truss: TrussProcess, neighbour: Neighbour) -> None:
    whole = truss.predict(url=f"{neighbour.url}/sample.mp3").json()
    reply = truss.predict(url=f"{neighbour.url}/sample.mp3", stream=True)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    *segments, done = events_of(reply.text)
    assert [event["type"] for event in segments] == ["segment"] * len(whole["chunks"])
    assert "".join(f" {event['text']}" for event in segments) == whole["text"]
    assert not [name for event in segments for name in event if name.startswith("token_")]
    assert done == {"type": "done", "output": whole}


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("model_input", "refusal"),
    [
        ({}, (422, "request_invalid")),
        ({"url": "/short.ogg", "audio": "AAAA"}, (422, "request_invalid")),
        ({"url": "/short.ogg", "task": "sing"}, (422, "request_invalid")),
        ({"url": "/short.ogg", "language": "Klingon"}, (422, "language_unknown")),
        ({"url": "ftp://example.com/a"}, (422, "url_invalid")),
        ({"url": "http://169.254.169.254/latest"}, (422, "url_forbidden")),
        ({"url": "/not-there.mp3"}, (424, "fetch_status")),
        ({"url": "/text.mp3"}, (415, "audio_format")),
        ({"audio": "no base64!"}, (422, "request_invalid")),
        ({"audio": base64.b64encode(b"no audio" * 99).decode()}, (415, "audio_format")),
        ([1, 2], (422, "request_invalid")),
        ("text", (422, "request_invalid")),
    ],
)
def test_bad_input(
    truss: TrussProcess, neighbour: Neighbour, model_input: Any, refusal: tuple[int, str], is_streamed: bool
) -> None:
    if isinstance(model_input, dict):
        given = {name: neighbour.url + value if value.startswith("/") else value for name, value in model_input.items()}
        model_input = {**given, "stream": is_streamed}
    reply = truss.client.post(PREDICT, json=model_input)
    assert (reply.status_code, reply.json()["code"]) == refusal, reply.text
    assert reply.json()["detail"]
    assert reply.headers["x-baseten-error-source"] == "04"  # so that the platform knows whose error it is


def test_what_is_no_json_is_refused(truss: TrussProcess) -> None:
    assert truss.client.post(PREDICT, content=b"{").status_code == 400


def leave(truss: TrussProcess, model_input: dict[str, Any], when: Callable[[], bool]) -> None:
    """Ask for something and close the connection once something is so."""
    content = json.dumps(model_input).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(truss.url.rpartition(":")[2]))) as connection:
        connection.sendall(head.encode() + content)
        wait_for(when, "the engine never began")


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_client_that_goes_away_frees_the_engine(truss: TrussProcess, hour: str, is_streamed: bool) -> None:
    n_before = truss.n_cancelled()
    leave(truss, {"url": hour, "stream": is_streamed}, lambda: truss.metric(SLOTS) > 0)
    wait_for(lambda: truss.metric(SLOTS) == 0, "the engine went on")
    wait_for(lambda: truss.n_cancelled() == n_before + 1, "it did not end as cancelled")


def test_requests_share_batches_and_health_stays(truss: TrussProcess, neighbour: Neighbour) -> None:
    """Eight at once take fewer than three times the decoding steps of one."""

    def n_steps(n_requests: int) -> tuple[float, float]:
        before = truss.metric("ifw_engine_steps_total")
        with neighbour.holding(), ThreadPoolExecutor(n_requests) as pool:
            url = f"{neighbour.url}/held/sample.mp3"
            replies = [pool.submit(truss.predict, url=url, language="en") for _ in range(n_requests)]
            wait_for(lambda: neighbour.n_held == n_requests, "they do not run at the same time")
            assert truss.client.get("/v1/models/model").status_code == 200
            began = time.monotonic()
            neighbour.let_go()
            texts = {reply.result().json()["text"] for reply in replies}
            wall_s = time.monotonic() - began
        assert len(texts) == 1  # the same text, whoever shares the batch
        return truss.metric("ifw_engine_steps_total") - before, wall_s

    (one, one_s), (eight, eight_s) = n_steps(1), n_steps(N_TOGETHER)
    print(  # noqa: T201 - for those who run it with -s
        f"decoding steps: {one:.0f} for one request, {eight:.0f} for {N_TOGETHER}: {eight / one:.2f} times; "
        f"wall: {one_s:.2f} s and {eight_s:.2f} s: {eight_s / one_s:.2f} times"
    )
    assert eight < 3 * one
    assert truss.client.get("/v1/models/model").status_code == 200


def test_health_is_that_of_the_device(model_app: Path, tmp_path: Path) -> None:
    """A checkpoint that cannot be loaded ends the process; the platform starts another."""
    with serving_truss(model_app, tmp_path, {"IFW_MODEL": str(tmp_path / "nothing")}) as server:
        server.process.wait(120)
        assert "the model cannot be loaded" in server.text()


@pytest.fixture(scope="module")
def configured(model_app: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrussProcess]:
    """Another server: with a secret, and with a diarization model."""
    folder = tmp_path_factory.mktemp("configured")
    speakers = diarizing.write_model(folder / "speakers")
    env = {"TRUSS_SECRET_admin_key": f"{KEY}\n", "IFW_DIARIZATION_MODEL": str(speakers)}
    with serving_truss(model_app, folder, env) as server:
        server.wait_ready()
        yield server


def test_the_admin_key(configured: TrussProcess, neighbour: Neighbour) -> None:
    """Without the secret there is no key, as in the tests above; with it, every request must bring it."""
    for key in (None, "wrong", "é"):
        reply = configured.predict(url=f"{neighbour.url}/short.ogg", admin_key=key)
        assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
        assert KEY not in reply.text
    assert configured.predict(url=f"{neighbour.url}/short.ogg", admin_key=KEY).json()["text"] == SAID
    assert KEY not in configured.text()


def test_speakers(configured: TrussProcess, neighbour: Neighbour) -> None:
    asked = {"url": f"{neighbour.url}/short.ogg", "diarise_audio": True, "num_speakers": 1, "admin_key": KEY}
    output = configured.predict(**asked).json()
    assert [(one["speaker"], one["text"]) for one in output["speakers"]] == [("SPEAKER_00", SAID)]
    assert events_of(configured.predict(**asked, stream=True).text)[-1]["output"] == output


def test_speakers_need_a_model(truss: TrussProcess, neighbour: Neighbour) -> None:
    reply = truss.predict(url=f"{neighbour.url}/short.ogg", diarise_audio=True)
    assert (reply.status_code, reply.json()["code"]) == (422, "diarization_unavailable")
    assert "IFW_DIARIZATION_MODEL" in reply.json()["detail"]


HELD_LOAD = """

def held(self, load=Model.load):
    import pathlib, time
    while not pathlib.Path(os.environ["LOAD_WHEN"]).exists():
        time.sleep(0.02)
    load(self)


Model.load = held
"""


def test_health_before_and_after_load(model_app: Path, tmp_path: Path, neighbour: Neighbour) -> None:
    shutil.copytree(model_app, tmp_path / "app")
    with (tmp_path / "app" / "model" / "model.py").open("a") as module:
        module.write(HELD_LOAD)
    with serving_truss(tmp_path / "app", tmp_path, {"LOAD_WHEN": str(tmp_path / "now")}) as server:
        assert server.client.get("/").status_code == 200  # the process lives
        assert server.client.get("/v1/models/model").status_code == 503
        assert server.predict(url=f"{neighbour.url}/short.ogg").status_code == 503
        (tmp_path / "now").touch()
        server.wait_ready()
        assert server.predict(url=f"{neighbour.url}/short.ogg").json()["text"] == SAID


def test_a_client_that_goes_away_ends_a_download_that_hangs(truss: TrussProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        accepted: list[socket.socket] = []

        def is_asked() -> bool:
            accepted.append(silent.accept()[0])
            return accepted[0].recv(4096).startswith(b"GET /")

        leave(truss, {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/a.mp3"}, is_asked)
        with accepted[0] as connection:
            connection.settimeout(PATIENCE_S)
            assert connection.recv(1) == b""  # the other side has closed it
