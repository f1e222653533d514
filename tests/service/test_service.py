"""The service without HTTP: loading, transcriptions that are waited for, their bound and their end."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from held_work import OPTIONS, SAMPLE, Held, service_in

from ifw.cancellation import CancelToken
from ifw.config import TranscribeOptions
from ifw.errors import AudioFormatError, CancelledError, LanguageError, PromptError, QueueFullError
from ifw.service.service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = service_in(tmp_path_factory.mktemp("service"), max_sync=2, max_sync_waiting=1, allow_nets="127.0.0.0/8")
    service.start()
    service.model.wait()
    yield service
    service.close()


def test_transcribes_and_hands_out_segments(service: Service):
    segments = []
    transcript = service.transcribe_now(SAMPLE, OPTIONS, on_segment=segments.append).result(60)
    assert transcript.text
    assert tuple(segments) == transcript.segments
    assert service.n_sync == 0


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
        assert service.n_sync == 3
    finally:
        held.release.set()
    for future in held.futures:
        assert future.result(60).text
    assert service.transcribe_now(SAMPLE, OPTIONS).result(60).text


def test_downloads_that_hang_hold_up_no_transcription(service: Service, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url, token = f"http://127.0.0.1:{silent.getsockname()[1]}/", CancelToken()
        futures = [service.fetch_now(url, tmp_path / str(number), cancel=token) for number in range(3)]
        with pytest.raises(QueueFullError):
            service.fetch_now(url, tmp_path / "3", cancel=token)
        assert service.transcribe_now(SAMPLE, OPTIONS).result(60).text
        token.cancel()
        for future in futures:
            with pytest.raises(CancelledError):
                future.result(60)


def test_cancelling_ends_the_work_and_frees_the_engine(service: Service):
    held = Held(service, 1)
    held.begun.acquire()
    held.tokens[0].cancel()
    held.release.set()
    with pytest.raises(CancelledError):
        held.futures[0].result(60)
    assert service.transcriber.stats().n_waiting == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"language": "fr"}, LanguageError),
        ({"initial_prompt": "\ud800"}, PromptError),
        ({"prefix": "too long " * 500}, PromptError),
    ],
)
def test_what_the_checkpoint_cannot_do_is_refused_at_once(service: Service, options: dict, error: type[Exception]):
    with pytest.raises(error):
        service.check(TranscribeOptions.preset(**options))
    service.check(TranscribeOptions.preset(language="de", initial_prompt="Hello"))
