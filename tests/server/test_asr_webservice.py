"""What clients of whisper-asr-webservice send, over real HTTP."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
import pytest
from neighbour import SHORT

from ifw.audio import decode
from ifw.server.routes.asr_webservice import wav_header


def ask(api: Any, path: str = "/asr", audio: bytes | None = None, **query: Any) -> Any:
    files = {"audio_file": ("talk.ogg", SHORT.read_bytes() if audio is None else audio)}
    return api.client.post(path, params=query, files=files)


@pytest.mark.parametrize(
    ("output", "beginning"), [("txt", ""), ("srt", "1\n00:00:0"), ("vtt", "WEBVTT\n\n"), ("tsv", "start\tend\ttext\n")]
)
def test_every_output(api: Any, output: str, beginning: str) -> None:
    reply = ask(api, output=output, language="en")
    assert reply.status_code == 200, reply.text
    assert reply.text.startswith(beginning)
    assert len(reply.text) > len(beginning)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["content-disposition"] == f"attachment; filename*=UTF-8''talk.ogg.{output}"


def test_json_is_that_of_openai_whisper(api: Any) -> None:
    made = ask(api, output="json", word_timestamps="true").json()
    assert set(made) == {"text", "segments", "language"}
    assert {"start", "end", "text", "words", "tokens"} <= set(made["segments"][0])
    assert made["text"].strip() == ask(api).text.replace("\n", " ").strip()


def test_samples_without_a_container(api: Any) -> None:
    samples = (decode(SHORT).samples * 32767).astype("<i2").tobytes()
    assert ask(api, audio=samples, encode="false").text == ask(api).text
    told = ask(api, "/detect-language", samples, encode="false").json()
    assert told == {**ask(api, "/detect-language").json(), "confidence": told["confidence"]}
    assert ask(api, audio=samples).status_code == 415
    shortest = ask(api, audio=bytes(44), encode="false")  # as long as the header in front of it
    assert (shortest.status_code, shortest.text) == (200, "")


def test_the_header_of_samples_is_one():
    made = wav_header(64) + bytes(64)
    with wave.open(io.BytesIO(made)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate(), reader.getnframes()) == (
            1,
            2,
            16000,
            32,
        )
    assert int.from_bytes(made[4:8], "little") == len(made) - 8
    assert len(wav_header(1 << 40)) == 44


def test_the_language(api: Any) -> None:
    told = ask(api, "/detect-language").json()
    assert (told["detected_language"], told["language_code"]) == ("english", "en")
    assert told["confidence"] > 0.5
    silence = np.zeros(16000, "<i2").tobytes()
    assert ask(api, "/detect-language", silence, encode="false").status_code == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"output": "docx"}, "request_invalid"),
        ({"task": "sing"}, "request_invalid"),
        ({"language": "klingon"}, "language_unknown"),
        ({"diarize": "true"}, "diarization_unavailable"),
        ({"min_speakers": 0}, "request_invalid"),
    ],
)
def test_what_is_not_allowed(api: Any, query: dict[str, Any], code: str) -> None:
    reply = ask(api, **query)
    assert (reply.status_code, reply.json()["code"]) == (422, code)


def test_bodies_that_are_none(api: Any) -> None:
    assert ask(api, audio=b"").json()["code"] == "audio_empty"
    assert ask(api, audio=b"", encode="false").json()["code"] == "audio_empty"
    assert ask(api, audio=b"no audio" * 99).json()["code"] == "audio_format"
    assert api.client.post("/asr", files={"audio_file": (None, b"")}).json()["code"] == "audio_empty"
    assert api.client.post("/asr", data={}, files={"a": (None, "b")}).json()["code"] == "request_invalid"
    assert api.client.post("/asr", json={}).json()["code"] == "media_type_unsupported"
    assert api.client.post("/detect-language").json()["code"] == "media_type_unsupported"
