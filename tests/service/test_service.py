"""The service without HTTP: loading, transcriptions that are waited for, their bound and their end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import ifw
from ifw.cancellation import CancelToken
from ifw.config import AudioOptions, TranscribeOptions
from ifw.errors import AudioFormatError, AudioTooLongError, CancelledError, ConfigError, NotReadyError, QueueFullError
from ifw.service.readiness import missing_parts
from ifw.service.service import Service
from ifw.service.settings import load_settings

SAMPLE = Path(ifw.__file__).parent / "demo" / "sample.mp3"
OPTIONS = TranscribeOptions()


def service_in(folder: Path, **settings: object) -> Service:
    return Service(load_settings({"model": "demo", "data_dir": folder / "data", "n_threads": 1, **settings}))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = service_in(tmp_path_factory.mktemp("service"), max_sync=2, max_sync_waiting=1)
    service.start()
    service.model.wait()
    yield service
    service.close()


class Held:
    """Transcriptions that have begun and cannot end before `release` is set."""

    def __init__(self, service: Service, number: int) -> None:
        self.release = threading.Event()
        self.begun = threading.Semaphore(0)
        self.tokens = [CancelToken() for _ in range(number)]
        self.futures = [
            service.transcribe_now(SAMPLE, OPTIONS, cancel=token, on_segment=self._hold) for token in self.tokens
        ]

    def _hold(self, segment: ifw.Segment) -> None:
        self.begun.release()
        self.release.wait(60)


def test_transcribes_and_hands_out_segments(service: Service):
    segments = []
    transcript = service.transcribe_now(SAMPLE, OPTIONS, on_segment=segments.append).result(60)
    assert transcript.text
    assert tuple(segments) == transcript.segments
    assert service.n_live == 0


def test_errors_of_the_audio_come_out_of_the_future(service: Service, tmp_path: Path):
    file = tmp_path / "x.mp3"
    file.write_bytes(b"no audio at all" * 100)
    with pytest.raises(AudioFormatError):
        service.transcribe_now(file, OPTIONS).result(60)


def test_more_than_allowed_is_refused_and_there_is_room_again_afterwards(service: Service):
    held = Held(service, 3)  # two run, one waits
    try:
        with pytest.raises(QueueFullError):
            service.transcribe_now(SAMPLE, OPTIONS)
        assert service.n_live == 3
    finally:
        held.release.set()
    for future in held.futures:
        assert future.result(60).text
    assert service.transcribe_now(SAMPLE, OPTIONS).result(60).text


def test_cancelling_ends_the_work_and_frees_the_engine(service: Service):
    held = Held(service, 1)
    held.begun.acquire()
    held.tokens[0].cancel()
    held.release.set()
    with pytest.raises(CancelledError):
        held.futures[0].result(60)
    assert service.transcriber.stats().n_waiting == 0


def test_the_longest_audio_is_that_of_the_settings(tmp_path: Path):
    service = service_in(tmp_path, max_audio_s=5)
    assert service.bounded(OPTIONS).audio.max_duration_s == 5
    shorter = TranscribeOptions(audio=AudioOptions(max_duration_s=3))
    assert service.bounded(shorter).audio.max_duration_s == 3
    service.start()
    service.model.wait()
    try:
        with pytest.raises(AudioTooLongError):
            service.transcribe_now(SAMPLE, OPTIONS).result(60)
    finally:
        service.close()


def test_before_the_model_is_loaded_nothing_is_begun(tmp_path: Path):
    service = service_in(tmp_path)
    with pytest.raises(NotReadyError, match="being loaded"):
        service.transcribe_now(SAMPLE, OPTIONS)
    parts = {part.part: part.code for part in missing_parts(service)}
    assert parts["model"] == "loading"


def test_a_model_that_cannot_be_loaded_is_told_by_its_code(tmp_path: Path):
    service = service_in(tmp_path, model=str(tmp_path / "nothing"))
    service.start()
    try:
        with pytest.raises(NotReadyError, match="could not be loaded"):
            service.model.wait()
        assert [(part.part, part.code) for part in missing_parts(service)] == [("model", "model_not_found")]
    finally:
        service.close()


def test_too_little_disk_is_not_ready(tmp_path: Path):
    service = service_in(tmp_path, min_free_bytes="1024TiB")
    service.start()
    service.model.wait()
    try:
        assert [(part.part, part.code) for part in missing_parts(service)] == [("disk", "full")]
        service.drain()
        assert missing_parts(service)[0].code == "draining"
    finally:
        service.close()


def test_closing_ends_what_runs_and_what_waits(tmp_path: Path):
    service = service_in(tmp_path, max_sync=1)
    service.start()
    service.model.wait()
    held = Held(service, 2)
    held.begun.acquire()
    service.close()
    held.release.set()
    for future in held.futures:
        with pytest.raises(CancelledError):
            future.result(60)
    with pytest.raises(NotReadyError):
        service.transcribe_now(SAMPLE, OPTIONS)


def test_waiting_for_the_model_can_be_cancelled(tmp_path: Path):
    service, token = service_in(tmp_path), CancelToken()
    threading.Timer(0.05, token.cancel).start()
    with pytest.raises(CancelledError):
        service.model.wait(token)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError, match="IFW_DATA_DIR"):
        service_in(tmp_path).start()
