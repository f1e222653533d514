"""Tasks of the service: from an upload or a URL to a transcript, with progress, events, errors and numbers."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from held_work import SAMPLE, service_in

from ifw.cancellation import CancelToken
from ifw.formats import from_json
from ifw.service.payload import UPLOAD, Source, make_payload
from ifw.service.service import Service
from ifw.tasks import Task, TaskRequest


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that is served over HTTP, with the sample in it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "talk.mp3").write_bytes(SAMPLE.read_bytes())
    (folder / "text.mp3").write_text("this is no audio\n" * 100)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = service_in(tmp_path_factory.mktemp("service"), allow_nets="127.0.0.0/8")
    service.start()
    yield service
    service.close()


def ended(service: Service, source: Source, **options: object) -> Task:
    task, _ = service.tasks.submit(TaskRequest(make_payload(source, options)))
    task = service.tasks.wait(task.id, 100)
    assert task.has_ended
    return task


def uploaded(service: Service, content: bytes, name: str = "talk.mp3") -> Task:
    task_id = service.tasks.new_id()
    (service.tasks.new_folder(task_id) / UPLOAD).write_bytes(content)
    service.tasks.submit(TaskRequest(make_payload(Source(name=name), {})), task_id=task_id)
    return service.tasks.wait(task_id, 100)


def test_a_url_becomes_a_transcript(service: Service, site: str):
    task = ended(service, Source(url=f"{site}/talk.mp3"), language="en", word_timestamps=True)
    assert task.state == "succeeded", task.error
    transcript = from_json(service.tasks.result(task.id))
    assert transcript.text
    assert all(segment.words for segment in transcript.segments)
    assert task.progress["fetch"].done_s == task.progress["fetch"].total_s == SAMPLE.stat().st_size
    assert task.progress["transcribe"].done_s == pytest.approx(transcript.duration_s, abs=0.01)
    assert {"fetch", "transcribe", "transcribe.decode"} <= set(task.timings)
    events = service.tasks.events(task.id)
    assert [number for number, _ in events] == list(range(len(transcript.segments)))
    assert [event["text"] for _, event in events] == [segment.text for segment in transcript.segments]
    assert {event["type"] for _, event in events} == {"segment"}


def test_an_upload_becomes_the_same_transcript(service: Service, site: str):
    task = uploaded(service, SAMPLE.read_bytes())
    other = ended(service, Source(url=f"{site}/talk.mp3"))
    texts = [json.loads(service.tasks.result(one.id))["text"] for one in (task, other)]
    assert texts[0] == texts[1]


def test_an_upload_that_is_not_here_says_what_to_share(service: Service):
    task = ended(service, Source(name="talk.mp3"))
    assert task.error is not None
    assert task.error.code == "audio_not_found"
    assert "IFW_DATA_DIR" in task.error.message


def test_errors_name_the_file_as_people_do_and_no_folder_of_ours(service: Service, site: str):
    for task in (uploaded(service, b"no audio\n" * 100, "talk.mp3"), ended(service, Source(url=f"{site}/text.mp3"))):
        assert task.error is not None
        assert task.error.code == "audio_format"
        assert ".mp3" in task.error.message
        assert str(service.settings.data_dir) not in task.error.message
        assert task.id not in task.error.message


def test_a_url_that_may_not_be_reached_fails_the_task(service: Service):
    task = ended(service, Source(url="http://10.0.0.1/talk.mp3?sig=secret"))
    assert task.error is not None
    assert task.error.code == "url_forbidden"
    assert "secret" not in task.error.message


def test_a_file_that_was_fetched_elsewhere_is_fetched_again(service: Service, site: str, tmp_path: Path):
    stage = service.tasks._stages[1]
    taken = []

    context = SimpleNamespace(
        task_id="elsewhere",
        payload=make_payload(Source(url=f"{site}/talk.mp3"), {"clip": [[0, 5]]}),
        results={"fetch": {"name": "talk.mp3"}},
        folder=tmp_path,
        priority=0,
        cancel=CancelToken(),
        journal=None,
        report=lambda *progress: None,
        emit=lambda *event: None,
        add_timing=lambda *timing: None,
        set_result=taken.append,
    )
    assert stage.run(context)["duration_s"] == pytest.approx(5)
    assert json.loads(taken[0])["text"]


def test_stages_are_counted(service: Service, site: str):
    ended(service, Source(url=f"{site}/talk.mp3"))
    value = service.metrics.registry.get_sample_value
    assert value("ifw_stage_seconds_count", {"stage": "transcribe"}) >= 1
    assert value("ifw_audio_seconds_total", {"kind": "task"}) >= 79
    assert value("ifw_transcriptions_total", {"kind": "task", "outcome": "succeeded"}) >= 1
    assert value("ifw_tasks", {"state": "succeeded"}) >= 1
    assert (value("ifw_workers"), value("ifw_deliveries_pending")) == (1, 0)


def test_what_was_never_begun_is_no_transcription(service: Service, site: str):
    assert ended(service, Source(url=f"{site}/missing.mp3")).error.code == "fetch_status"
    value = service.metrics.registry.get_sample_value
    assert value("ifw_transcriptions_total", {"kind": "task", "outcome": "fetch_status"}) is None
