"""Speakers are told apart where a model is set, and only there; one that cannot be loaded is told by its code."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from held_work import SAMPLE, service_in

from ifw.cancellation import CancelToken
from ifw.config import DiarizationOptions, TranscribeOptions
from ifw.errors import DiarizationError, NotReadyError
from ifw.service.payload import UPLOAD, Source, make_payload
from ifw.service.readiness import missing_parts
from ifw.service.service import Service
from ifw.tasks import TaskRequest

DIARIZE = TranscribeOptions(diarize=DiarizationOptions())


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """It has no diarization model."""
    service = service_in(tmp_path_factory.mktemp("service"))
    service.start()
    service.model.wait()
    yield service
    service.close()


def test_without_a_model_nobody_is_told_apart(service: Service):
    for ask in (service.check, lambda options: service.transcribe_now(SAMPLE, options)):
        with pytest.raises(DiarizationError, match="IFW_DIARIZATION_MODEL"):
            ask(DIARIZE)
    assert service.n_sync == 0
    service.check(TranscribeOptions())


def test_a_task_that_another_server_took_in_fails_and_says_why(service: Service):
    task_id = service.tasks.new_id()
    (service.tasks.new_folder(task_id) / UPLOAD).write_bytes(SAMPLE.read_bytes())
    service.tasks.submit(TaskRequest(make_payload(Source(name="talk.mp3"), {"diarize": True})), task_id=task_id)
    task = service.tasks.wait(task_id, 100)
    assert task.error is not None
    assert task.error.code == "diarization_unavailable"
    assert "all workers" in task.error.message


def test_before_anything_is_loaded_it_is_known_what_is_not_set(tmp_path: Path):
    service = service_in(tmp_path)
    with pytest.raises(DiarizationError):
        service.check(DIARIZE)
    service = service_in(tmp_path, diarization_model="somewhere/else")
    service.check(DIARIZE)
    with pytest.raises(NotReadyError):
        service.transcribe_now(SAMPLE, DIARIZE)


class Code:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("kind", "code"), [("nothing", "model_not_found"), ("empty", "model_format"), ("pickle", "model_format")]
)
def test_a_model_that_cannot_be_loaded_is_the_part_that_is_missing(tmp_path: Path, kind: str, code: str):
    folder = tmp_path / "secret-folder"
    if kind != "nothing":
        folder.mkdir()
    if kind == "pickle":
        (folder / "config.yaml").write_bytes(pickle.dumps(Code()))
    service = service_in(tmp_path, diarization_model=str(folder / ("x" if kind == "nothing" else "")))
    service.start()
    try:
        with pytest.raises(NotReadyError, match=r"the diarization model .* could not be loaded") as raised:
            service.model.wait()
        (part,) = missing_parts(service)
        assert (part.part, part.code, part.message) == ("diarization_model", code, str(raised.value))
        assert "IFW_DIARIZATION_MODEL" in part.message
        assert str(tmp_path) not in part.message
        with pytest.raises(NotReadyError):
            service.transcribe_now(SAMPLE, TranscribeOptions())
    finally:
        service.close()


def test_what_is_prepared_has_threads_of_its_own_and_ends_with_the_service(tmp_path: Path):
    service = service_in(tmp_path)
    cancel = CancelToken()
    assert service.prepare_now(lambda: 7, cancel=cancel).result(60) == 7
    with pytest.raises(ZeroDivisionError):
        service.prepare_now(lambda: 1 // 0, cancel=cancel).result(60)
    assert service.n_sync == 0
    service.cancel_all()
    with pytest.raises(NotReadyError):
        service.prepare_now(lambda: 7, cancel=cancel)
