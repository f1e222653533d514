"""The `openai` package asks who speaks: replies, streams, and clips of known voices, also clips that are none."""

from __future__ import annotations

import base64
import io
import json
import wave
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from neighbour import SHORT
from openai.types.audio import (
    TranscriptionDiarized,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
)

from ifw.audio import decode

SAID = "Julia drinks coffee every morning."
RATE = 16_000


@pytest.fixture(scope="module")
def client(diarizing: Any) -> Any:
    with openai.OpenAI(base_url=f"{diarizing.server.url}/v1", api_key="none", max_retries=0) as shared:
        yield shared


def ask(client: Any, **fields: Any) -> Any:
    defaults = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "file": SHORT}
    return client.audio.transcriptions.create(**{**defaults, **fields})


def data_url(content: bytes, media_type: str = "audio/wav") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def wav(samples: Any) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def hum(duration_s: float, hertz: float = 160) -> bytes:
    time_s = np.arange(round(duration_s * RATE)) / RATE
    return wav(0.2 * sum(np.sin(2 * np.pi * hertz * k * time_s) / k for k in range(1, 12)))


VOICE = data_url(SHORT.read_bytes(), "audio/ogg")
DIALOGUE = Path(str(files("ifw"))) / "demo_diarizer" / "dialogue.mp3"
OTHER = data_url(wav(decode(DIALOGUE).samples[round(7.9 * RATE) : round(10.5 * RATE)]))  # somebody else


def test_who_said_what(client: Any) -> None:
    got = ask(client, chunking_strategy="auto")
    assert isinstance(got, TranscriptionDiarized)
    assert (got.task, got.text, got.usage.seconds) == ("transcribe", f"A: {SAID}", 4)
    (segment,) = got.segments
    assert (segment.type, segment.id) == ("transcript.text.segment", "seg_001")
    assert (segment.speaker, segment.text) == ("A", SAID)
    assert 0 < segment.start < segment.end < got.duration


def test_events_say_who_said_what(client: Any) -> None:
    *pieces, done = list(ask(client, stream=True))
    deltas, segments = pieces[::2], pieces[1::2]
    assert all(isinstance(one, TranscriptionTextDeltaEvent) for one in deltas)
    assert all(isinstance(one, TranscriptionTextSegmentEvent) for one in segments)
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert "".join(one.delta for one in deltas) == done.text == SAID
    assert [one.segment_id for one in deltas] == [one.id for one in segments] == ["seg_001"]
    assert [(one.speaker, one.text) for one in segments] == [("A", SAID)]


def test_the_model_of_openai_is_listed_and_replies_text_too(client: Any) -> None:
    assert "gpt-4o-transcribe-diarize" in [one.id for one in client.models.list()]
    assert ask(client, response_format="text") == f"{SAID}\n"
    assert ask(client, response_format="json").text == SAID
    assert ask(client, model="whisper-1").segments[0].speaker == "A"
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, response_format="verbose_json")
    assert raised.value.param == "response_format"


@pytest.mark.parametrize("stream", [False, True])
def test_whose_voice_is_known_is_called_by_name(client: Any, stream: bool) -> None:
    names, clips = ["Peter", "Julia, PhD"], [OTHER, VOICE]
    got = ask(client, known_speaker_names=names, known_speaker_references=clips, stream=stream)
    segments = got.segments if not stream else [one for one in got if one.type == "transcript.text.segment"]
    assert [one.speaker for one in segments] == ["Julia, PhD"]


def test_an_unknown_voice_has_a_letter_that_is_nobodys_name(client: Any) -> None:
    got = ask(client, known_speaker_names=["A"], known_speaker_references=[OTHER])
    assert [one.speaker for one in got.segments] == ["B"]


@pytest.mark.parametrize("media_type", ["audio/ogg", "application/octet-stream", "AUDIO/OGG;codecs=opus", ""])
def test_the_type_of_a_clip_does_not_matter(client: Any, media_type: str) -> None:
    url = data_url(SHORT.read_bytes(), media_type)
    got = ask(client, known_speaker_names=["Julia"], known_speaker_references=[url])
    assert got.text == f"Julia: {SAID}"


@pytest.mark.parametrize("brackets", ["", "[]", "[0]"])
def test_lists_in_every_encoding(diarizing: Any, brackets: str) -> None:
    name = f"known_speaker_references{brackets}"
    data = {"response_format": "diarized_json", "known_speaker_names": "Julia", name: f" {VOICE} "}
    reply = diarizing.client.post("/v1/audio/transcriptions", files={"file": SHORT.read_bytes()}, data=data)
    assert reply.json()["segments"][0]["speaker"] == "Julia"
    data |= {"known_speaker_names": '["Peter", "Julia"]', name: json.dumps([OTHER, VOICE])}
    reply = diarizing.client.post("/v1/audio/transcriptions", files={"file": SHORT.read_bytes()}, data=data)
    assert reply.json()["segments"][0]["speaker"] == "Julia"


PLAYLIST = data_url(b"#EXTM3U\nfile:///etc/passwd\n")
CLIPS = [
    (["Ann", "Bob"], [VOICE], "got 1 for 2 names"),
    (["Ann"], [VOICE, OTHER], "got 2 for 1 names"),
    (["Ann"], ["https://example.com/ann.wav"], "allowed: data:audio/...;base64"),
    (["Ann"], ["/etc/passwd"], "allowed: data:audio/...;base64"),
    (["Ann"], ["data:audio/wav,abc"], "allowed: data:audio/...;base64"),
    (["Ann"], ["data:audio/wav;base64,!!!"], "base64 cannot be read"),
    (["Ann"], ["data:audio/wav;base64,"], "clip 1 cannot be used"),
    (["Ann"], [data_url(b"no audio at all" * 99)], "clip 1 cannot be used"),
    (["Ann"], [PLAYLIST], "clip 1 cannot be used"),
    (["Ann", "Bob"], [VOICE, data_url(hum(1.5))], "clip 2 has 1.5 s, allowed: 2 to 10 s"),
    (["Ann"], [data_url(hum(10.5))], "clip 1 has more than 10 s"),
    (["Ann"], [data_url(wav(np.zeros(3 * RATE)))], "in clip 1 nobody speaks"),
    (["Ann"], ["[1]"], "neither a data URL nor a JSON list"),
    (["Ann"], ["[" * 50_000], "neither a data URL nor a JSON list"),
    (["Ann"], ["\U0001f600"], "allowed: data:audio/...;base64"),
]


@pytest.mark.parametrize(("names", "clips", "part"), CLIPS)
def test_clips_that_are_none(client: Any, names: list[str], clips: list[str], part: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, known_speaker_names=names, known_speaker_references=clips)
    assert (raised.value.param, raised.value.code) == ("known_speaker_references", "request_invalid")
    assert part in raised.value.message
    assert "/" not in raised.value.message.replace("audio/", "").replace("https://example.com/ann.wav", "").replace(
        "/etc/passwd", ""
    ), "no path of the server is told"
    assert len(raised.value.message) < 600


def test_clips_have_limits_of_their_own(client: Any, diarizing: Any) -> None:
    noise = data_url(wav(np.random.RandomState(1).uniform(-0.5, 0.5, 40 * RATE)))
    assert len(noise) > 1 << 20, "longer than all other fields together may be"
    with pytest.raises(openai.BadRequestError, match="has more than 10 s"):
        ask(client, known_speaker_names=["Ann"], known_speaker_references=[noise])
    for fields in (
        {"known_speaker_references": ["x" * (4 << 20) + "x"], "known_speaker_names": ["Ann"]},
        {"known_speaker_references": [VOICE] * 5, "known_speaker_names": list("abcde")},
        {"prompt": "x" * (65 << 10)},
    ):
        with pytest.raises(openai.APIStatusError) as raised:
            ask(client, **fields)
        assert (raised.value.status_code, raised.value.code) == (413, "request_too_large")
    diarizing.until(lambda: not list((diarizing.data_dir / "requests").iterdir()), "nothing is left of clips")


def test_clips_are_for_transcriptions_with_speakers_only(diarizing: Any) -> None:
    data = {"known_speaker_names": "Julia", "known_speaker_references": VOICE}
    for path, response_format in (("transcriptions", "json"), ("translations", "json")):
        fields = {**data, "response_format": response_format}
        reply = diarizing.client.post(f"/v1/audio/{path}", files={"file": SHORT.read_bytes()}, data=fields)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "known_speaker_names")
    long = {"known_speaker_references": "x" * 99_999}
    reply = diarizing.client.post("/tasks", files={"file": SHORT.read_bytes()}, data=long)
    assert reply.status_code == 413, "elsewhere it is a field like any other"


def test_many_who_ask_at_once_get_their_own_names(client: Any) -> None:
    def who(name: str) -> str:
        got = ask(client, known_speaker_names=[name], known_speaker_references=[VOICE])
        return str(got.segments[0].speaker)

    names = [f"Speaker {number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(who, names)) == names
