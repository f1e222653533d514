"""Services that have the process to themselves: what is missing, bounds of their own, the end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from held_work import OPTIONS, SAMPLE, Held, service_in

from ifw.cancellation import CancelToken
from ifw.config import AudioOptions, TranscribeOptions
from ifw.errors import AudioTooLongError, CancelledError, ConfigError, NotReadyError
from ifw.service.limits import bounded
from ifw.service.readiness import missing_parts


def test_the_longest_audio_is_that_of_the_settings(tmp_path: Path):
    service = service_in(tmp_path, max_audio_s=5)
    assert bounded(OPTIONS, 5).audio.max_duration_s == 5
    shorter = TranscribeOptions(audio=AudioOptions(max_duration_s=3))
    assert bounded(shorter, 5).audio.max_duration_s == 3
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
    service.tasks.start()
    try:
        assert [(part.part, part.code) for part in missing_parts(service)] == [("model", "loading")]
    finally:
        service.close()


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
