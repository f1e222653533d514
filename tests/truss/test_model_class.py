"""The model class by itself: what it reads, and whether it is healthy."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ifw.baseten.body import audio_of, read_input
from ifw.baseten.model import BasetenModel
from ifw.baseten.replies import error_reply
from ifw.errors import EngineMemoryError, NotReadyError, QueueFullError, RequestError
from ifw.service.settings import load_settings

DATA = bytes(range(256)) * 3 + b"x"


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(DATA).decode(),
        base64.b64encode(DATA).decode().rstrip("="),
        base64.encodebytes(DATA).decode(),
        "data:audio/mpeg;base64," + base64.b64encode(DATA).decode(),
    ],
)
def test_base64_is_read_as_people_write_it(text: str) -> None:
    audio = audio_of(text)
    assert isinstance(audio, io.BytesIO)
    assert audio.read() == DATA


@pytest.mark.parametrize("text", ["!", "AAAA*", "A", "é", "data:audio/mpeg;base64,%%%", "https://example.com/a.mp3"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="base64"):
        audio_of(text)


def test_null_is_left_out() -> None:
    names = ("audio", "task", "language", "batch_size", "timestamp", "diarise_audio", "stream", "chunk_length_s")
    asked = read_input({"url": "https://example.com/a.mp3", **dict.fromkeys((*names, "admin_key"))})
    assert (asked.task, asked.stream, asked.diarise_audio, asked.has_words) == ("transcribe", False, False, False)


def test_what_is_sent_is_never_told_back() -> None:
    with pytest.raises(RequestError) as refusal:
        read_input({"audio": ["secret"], "admin_key": {"secret": 1}, "task": "secret"})
    assert "secret" not in str(refusal.value)
    assert "audio" in str(refusal.value)


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (QueueFullError("full"), 429, "5"),
        (NotReadyError("not yet"), 500, "5"),
        (EngineMemoryError("none left"), 500, "5"),
        (RuntimeError("/a/path"), 500, None),
    ],
)
def test_nothing_is_sent_round_by_the_platform(error: Exception, status: int, retry: str | None) -> None:
    """Baseten tries 502, 503 and 504 again for minutes."""
    reply = error_reply(error)
    assert (reply.status_code, reply.headers.get("retry-after")) == (status, retry)
    assert b"/a/path" not in bytes(reply.body)


def test_health_follows_the_engine(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    settings = load_settings({"model": "demo", "data_dir": tmp_path / "data", "n_threads": 1})
    model = BasetenModel(settings, registry=registry)
    assert not model.is_healthy()
    assert registry.get_sample_value("ifw_engine_slots") is None
    model.load()
    assert model.is_healthy()
    assert registry.get_sample_value("ifw_engine_slots") == model.service.transcriber.stats().n_slots
    model.service.transcriber.close()  # as where its device has failed
    assert not model.is_healthy()
    model.close()
    assert not model.is_healthy()
