"""The end of a real server process: what is waited for finishes, tasks go on at the next start, nothing holds it."""

from __future__ import annotations

import json
import threading
import wave
from pathlib import Path
from typing import Any

import httpx2
import pytest
from server_process import PATIENCE_S, ServerProcess, serving, wait_for

import ifw
from ifw.audio import decode
from ifw.service.payload import UPLOAD, Source, make_payload
from ifw.service.service import task_options
from ifw.service.settings import load_settings
from ifw.tasks import Stage, Task, TaskRequest, Tasks

SLOW = ("--n-slots", "1")  # windows end one after the other
SAMPLE = Path(ifw.__file__).parent / "demo" / "sample.mp3"


@pytest.fixture(scope="module")
def long_audio(tmp_path_factory) -> Path:
    """The sample ten times, almost fourteen minutes."""
    path = tmp_path_factory.mktemp("audio") / "long.wav"
    samples = (decode(SAMPLE).samples * 32767).astype("int16")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        for _ in range(10):
            file.writeframes(samples.tobytes())
    return path


@pytest.fixture(scope="module")
def endless_audio(tmp_path_factory) -> Path:
    """More than five hours, which nobody waits for."""
    path = tmp_path_factory.mktemp("audio") / "endless.mp3"
    path.write_bytes(SAMPLE.read_bytes() * 240)
    return path


class Asking(threading.Thread):
    """A client that waits for a transcript; it holds the reply, or what went wrong."""

    def __init__(self, server: ServerProcess, audio: Path, **fields: str) -> None:
        super().__init__()
        self.reply: httpx2.Response | None = None
        self.error: Exception | None = None
        self._url, self._audio, self._fields = server.url, audio, {"model": "whisper-1", **fields}
        self.start()

    def run(self) -> None:
        try:
            with httpx2.Client(timeout=PATIENCE_S, trust_env=False) as client, self._audio.open("rb") as file:
                url = f"{self._url}/v1/audio/transcriptions"
                self.reply = client.post(url, data=self._fields, files={"file": file})
                self.reply.read()
        except httpx2.HTTPError as error:
            self.error = error


def in_data_dir(folder: Path, use: Any) -> Any:
    """Look into, or add to, the tasks of a server that does not run."""
    options = task_options(load_settings({"data_dir": folder / "data"}))
    tasks = Tasks([Stage("none", lambda context: None)], options)
    tasks.start(works=False)
    try:
        return use(tasks)
    finally:
        tasks.close()


def submitted(folder: Path, audio: Path) -> str:
    def submit(tasks: Tasks) -> str:
        task_id = tasks.new_id()
        (tasks.new_folder(task_id) / UPLOAD).symlink_to(audio)
        tasks.submit(TaskRequest(make_payload(Source(name="long.wav"), {})), task_id=task_id)
        return task_id

    return str(in_data_dir(folder, submit))


def test_a_request_that_is_waited_for_finishes_after_sigterm(tmp_path: Path, long_audio: Path):
    with serving(tmp_path, *SLOW) as server:
        server.wait_ready()
        asking = Asking(server, long_audio)
        wait_for(lambda: server.metric("ifw_sync_requests"))
        assert server.client.get("/health/live").status_code == 200  # the event loop is free while it is transcribed
        assert server.terminate() == 0
        asking.join(PATIENCE_S)
    assert asking.reply is not None
    assert asking.reply.status_code == 200
    assert len(asking.reply.json()["text"]) > 1000


def test_requests_and_streams_that_take_too_long_do_not_hold_the_end(tmp_path: Path, endless_audio: Path):
    with serving(tmp_path, *SLOW, "--drain", "0") as server:
        server.wait_ready()
        asking = [Asking(server, endless_audio), Asking(server, endless_audio, stream="true")]
        wait_for(lambda: server.metric("ifw_sync_requests") == 2)
        assert server.terminate() == 0
        for one in asking:
            one.join(PATIENCE_S)
    assert asking[0].error is not None or asking[0].reply.status_code >= 500
    assert asking[1].error is not None or "transcript.text.done" not in asking[1].reply.text


def test_a_running_task_is_handed_back_and_goes_on_at_the_next_start(tmp_path: Path, long_audio: Path):
    task_id = submitted(tmp_path, long_audio)
    with serving(tmp_path, *SLOW) as server:
        wait_for(lambda: server.client.get(f"/tasks/{task_id}").json()["progress"].get("transcribe"))
        wait_for(lambda: server.client.get(f"/tasks/{task_id}").json()["progress"]["transcribe"]["done"] > 0)
        with server.client.stream("GET", f"/tasks/{task_id}/events") as events:  # does not hold the end either
            assert server.terminate() == 0
            assert "event: done" not in events.read().decode()
        assert "Traceback" not in server.text()
    task: Task = in_data_dir(tmp_path, lambda tasks: tasks.get(task_id))
    assert task.state == "queued"
    with serving(tmp_path, *SLOW) as server:
        wait_for(lambda: server.metric("ifw_transcriptions_total"))
        n_windows = server.metric("ifw_engine_windows_total")
        assert server.terminate() == 0
    task = in_data_dir(tmp_path, lambda tasks: tasks.get(task_id))
    assert (task.state, task.n_attempts) == ("succeeded", 2)
    with ifw.Transcriber("demo", n_slots=1, n_threads=1) as transcriber:
        whole = transcriber.transcribe(long_audio)
        assert n_windows < transcriber.stats().n_completed  # some windows came from the journal
    assert json.loads(in_data_dir(tmp_path, lambda tasks: tasks.result(task_id)))["text"] == whole.text
