"""How a server comes to be ready: what is loaded beside each other, and what is warmed up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from held_work import service_in
from neighbour import SHORT
from server_process import wait_for

from ifw import transcriber
from ifw.config import DiarizationOptions, TranscribeOptions
from ifw.diarize.diarizer import Diarizer
from ifw.errors import EngineError, ModelGatedError, NotReadyError
from ifw.service import loading
from ifw.transcriber import Transcriber


@pytest.mark.parametrize("is_warmed", [False, True])
def test_speech_has_been_transcribed_once_it_is_ready(tmp_path: Path, is_warmed: bool):
    service = service_in(tmp_path, warm_up=is_warmed)
    service.start()
    try:
        stats = service.model.wait().stats()
        assert (stats.n_completed > 0, stats.n_aligned > 0) == (is_warmed, is_warmed)
        assert stats.n_occupied == 0
    finally:
        service.close()


@pytest.mark.parametrize("is_warmed", [False, True])
def test_speakers_have_been_told_apart_once_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_warmed: bool
):
    heard = []
    original = Diarizer.stream
    monkeypatch.setattr(Diarizer, "stream", lambda *given, **more: heard.append(1) or original(*given, **more))
    service = service_in(tmp_path, warm_up=is_warmed, diarization_model="demo")
    service.start()
    try:
        service.model.wait()
        assert len(heard) == is_warmed
    finally:
        service.close()


def test_a_device_that_fails_is_told_before_it_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[Transcriber] = []

    def fail(failing: Transcriber, *, diarizes: bool) -> None:
        made.append(failing)
        raise EngineError("the device is broken")

    monkeypatch.setattr(loading, "warm_up", fail)
    service = service_in(tmp_path, warm_up=True)
    service.start()
    try:
        with pytest.raises(NotReadyError, match="could not be loaded"):
            service.model.wait()
        assert service.model.status.code == "engine_failed"
        assert not made[0].is_open  # it holds no memory of the device any more
    finally:
        service.close()


def test_the_diarization_model_is_loaded_beside_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither is loaded before the other has begun."""
    together = threading.Barrier(2)

    def beside(load: Callable[..., Any]) -> Callable[..., Any]:
        def loaded(*given: Any, **named: Any) -> Any:
            together.wait(60)
            return load(*given, **named)

        return loaded

    for name in ("load_checkpoint", "load_diarizer"):
        monkeypatch.setattr(transcriber, name, beside(getattr(transcriber, name)))
    service = service_in(tmp_path, diarization_model="demo")
    service.start()
    try:
        service.model.wait()
        options = TranscribeOptions(diarize=DiarizationOptions(num_speakers=1))
        assert {one.speaker for one in service.transcribe_now(SHORT, options).result(120).segments} == {"SPEAKER_00"}
    finally:
        service.close()


def test_closing_waits_for_what_is_being_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process that ends under torch is aborted."""
    begun, go_on = threading.Event(), threading.Event()
    load_checkpoint = transcriber.load_checkpoint

    def slow(*given: Any, **named: Any) -> Any:
        begun.set()
        go_on.wait(60)
        return load_checkpoint(*given, **named)

    monkeypatch.setattr(transcriber, "load_checkpoint", slow)
    monkeypatch.setattr(loading, "CLOSE_S", 120.0)
    service = service_in(tmp_path)
    service.start()
    assert begun.wait(60)
    closing = threading.Thread(target=service.close)
    closing.start()
    wait_for(lambda: service.model.status.state == "closed")
    assert closing.is_alive()
    go_on.set()
    closing.join(60)
    assert not closing.is_alive()
    assert "ifw-load" not in {thread.name for thread in threading.enumerate()}


def test_a_diarization_model_that_lacks_is_told_before_the_checkpoint_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    is_told, load = threading.Event(), transcriber.load_checkpoint

    def late(*given: Any, **named: Any) -> Any:
        assert is_told.wait(60)
        return load(*given, **named)

    def refused(*given: Any) -> Any:
        raise ModelGatedError("accept the conditions")

    monkeypatch.setattr(transcriber, "load_checkpoint", late)
    monkeypatch.setattr(transcriber, "load_diarizer", refused)
    service = service_in(tmp_path, diarization_model="me/gated")
    service.start()
    try:
        with pytest.raises(NotReadyError, match="accept the conditions"):
            service.model.wait()
        is_told.set()
        assert service.model.status.part == "diarization_model"
    finally:
        is_told.set()
        service.close()
