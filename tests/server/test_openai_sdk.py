"""The `openai` package, as it is, against a real server process: every format, streams, errors."""

import asyncio
import io
import json
import re
import wave

import av
import openai
import pytest
from openai.types.audio import TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent
from openai_server import GERMAN, KEY, MAX_UPLOAD, SAMPLE, serving_openai

from ifw import DecodeOptions, TranscribeOptions, Transcriber
from ifw.formats import to_srt, to_vtt

TRUTH = json.loads(SAMPLE.with_suffix(".json").read_text(encoding="utf-8"))
DEPRECATED = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI ends its own translations


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving_openai(tmp_path_factory.mktemp("openai")) as running:
        yield running


def client_of(server, **changes):
    """A client that asks once, as a server that fails must not look as if it worked."""
    return openai.OpenAI(**{"base_url": f"{server.url}/v1", "api_key": KEY, "max_retries": 0} | changes)


@pytest.fixture(scope="module")
def client(server):
    with client_of(server) as shared:
        yield shared


def transcribed(client, path=SAMPLE, model="whisper-1", **fields):
    with path.open("rb") as file:
        return client.audio.transcriptions.create(model=model, file=file, **fields)


def words_of(text):
    return re.findall(r"[\wäöüß']+", text.lower())


SPOKEN = words_of(" ".join(segment["text"] for segment in TRUTH["segments"]))


def assert_is_what_was_said(text):
    assert words_of(text) == SPOKEN


@pytest.fixture(scope="module")
def verbose(client):
    return transcribed(client, response_format="verbose_json", timestamp_granularities=["segment", "word"])


def test_json(client):
    got = transcribed(client)
    assert_is_what_was_said(got.text)
    assert got.usage.seconds == 80
    assert [one.code for one in got.languages] == ["en"]
    assert got.logprobs is None


def test_text(client):
    got = transcribed(client, response_format="text")
    assert got.endswith(".\n")
    assert_is_what_was_said(got)


def test_verbose_json_has_the_times_of_what_was_said(client):
    verbose = transcribed(client, response_format="verbose_json")
    assert_is_what_was_said(verbose.text)
    assert (verbose.language, verbose.task) == ("english", "transcribe")
    assert verbose.duration == pytest.approx(79.7, abs=0.1)
    assert len(verbose.segments) == len(TRUTH["segments"])
    for got, said in zip(verbose.segments, TRUTH["segments"], strict=True):
        assert (got.start, got.end) == pytest.approx((said["start_s"], said["end_s"]), abs=0.6)


def test_verbose_json_has_words(verbose):
    assert_is_what_was_said(verbose.text)
    assert "".join(one.word for one in verbose.words) == verbose.text.replace(" ", "")
    assert all(one.start < one.end for one in verbose.words)


def test_only_what_was_asked_for_is_there(client):
    only_words = transcribed(client, GERMAN, response_format="verbose_json", timestamp_granularities=["word"])
    assert (only_words.segments is None, only_words.words is None) == (True, False)
    plain = transcribed(client, GERMAN, response_format="verbose_json")
    assert (plain.segments is None, plain.words is None) == (False, True)
    assert plain.language == "german"


def test_srt_and_vtt_are_those_of_the_library(client):
    with Transcriber("demo", n_threads=1) as transcriber:
        plain, timed = (
            transcriber.transcribe(SAMPLE, TranscribeOptions(decode=DecodeOptions(word_timestamps=has_words)))
            for has_words in (False, True)
        )
    assert to_srt(plain) != to_srt(timed), "words give cues other times"
    for made, asked in ((plain, ["segment"]), (timed, ["word"])):
        assert transcribed(client, response_format="srt", timestamp_granularities=asked) == to_srt(made)
        assert transcribed(client, response_format="vtt", timestamp_granularities=asked) == to_vtt(made)


@pytest.mark.parametrize(
    "strategy", ["auto", {"type": "server_vad", "threshold": 0.3, "prefix_padding_ms": 200, "silence_duration_ms": 400}]
)
def test_chunking_strategies(client, strategy):
    assert_is_what_was_said(transcribed(client, chunking_strategy=strategy).text)


def test_the_numbers_of_a_strategy_arrive(client):
    with pytest.raises(openai.BadRequestError, match=r"chunking_strategy\[threshold\]: got '1.5'"):
        transcribed(client, GERMAN, chunking_strategy={"type": "server_vad", "threshold": 1.5})


@pytest.mark.parametrize(
    ("codec", "container", "name"),
    [
        ("libopus", "webm", "recording.webm"),  # what browsers record
        ("aac", "ipod", "memo.m4a"),
        ("aac", "mp4", "clip.mp4"),
        ("flac", "flac", "audio.flac"),
        ("pcm_s16le", "wav", "audio.mp3"),  # a name that is wrong
        ("libopus", "ogg", "blob"),  # and none at all
    ],
)
def test_containers_that_clients_send(client, codec, container, name):
    data = io.BytesIO()
    with av.open(str(GERMAN)) as source, av.open(data, "w", format=container) as target:
        stream = target.add_stream(codec, rate=48_000, layout="mono")
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    got = client.audio.transcriptions.create(model="whisper-1", file=(name, data.getvalue()), language="de")
    assert len(set(words_of(got.text)) & set(words_of(transcribed(client, GERMAN, language="de").text))) >= 5


def test_prompt_temperature_and_language(client):
    got = transcribed(client, GERMAN, prompt="Peter.", temperature=0.2, language="de", keywords=["Julia"])
    assert got.text
    assert transcribed(client, GERMAN, response_format="verbose_json", language="German").language == "german"


@DEPRECATED
def test_translation_is_english(client):
    with GERMAN.open("rb") as file:
        got = client.audio.translations.create(model="whisper-1", file=file, response_format="verbose_json")
    assert (got.language, got.task) == ("english", "translate")
    assert got.text
    assert got.text != transcribed(client, GERMAN).text
    assert got.segments[0].to_dict().keys() >= {"id", "start", "end", "text", "tokens"}


@DEPRECATED
@pytest.mark.parametrize(("form", "kind"), [("json", None), ("text", str), ("srt", str), ("vtt", str)])
def test_translations_in_every_format(client, form, kind):
    with GERMAN.open("rb") as file:
        got = client.audio.translations.create(model="whisper-1", file=file, response_format=form)
    if kind is None:
        assert got.to_dict() == {"text": got.text}
    else:
        assert isinstance(got, kind)
        assert got.startswith({"vtt": "WEBVTT\n\n00:00.", "srt": "1\n00:00:00,"}.get(form, ""))


def test_the_probability_of_every_token(client):
    got = transcribed(client, GERMAN, include=["logprobs"])
    assert all(one.logprob <= 0 for one in got.logprobs)
    assert min(one.logprob for one in got.logprobs) < 0
    assert bytes(int(byte) for one in got.logprobs for byte in one.bytes).decode().split() == got.text.split()


def test_a_stream_adds_up_to_the_whole(client):
    events = list(transcribed(client, stream=True, include=["logprobs"]))
    assert [type(event) for event in events[:-1]] == [TranscriptionTextDeltaEvent] * len(TRUTH["segments"])
    done = events[-1]
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert "".join(event.delta for event in events[:-1]) == done.text
    assert_is_what_was_said(done.text)
    assert sum(len(event.logprobs) for event in events[:-1]) == len(done.logprobs) == done.usage.output_tokens
    assert done.usage.input_tokens == pytest.approx(79.7 * 50, abs=5)


def test_a_stream_of_silence_is_done_at_once(client):
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(64_000))
    named = ("silence.wav", sound.getvalue())
    (done,) = client.audio.transcriptions.create(model="whisper-1", file=named, stream=True)
    assert (done.type, done.text, done.languages) == ("transcript.text.done", "", [])


def test_asynchronous_clients(server):
    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
            data = SAMPLE.read_bytes()
            whole = client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", data), response_format="text")
            stream = await client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", data), stream=True)
            deltas = [event.delta async for event in stream if event.type == "transcript.text.delta"]
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("nobody/has-this")
            listed = [model.id async for model in client.models.list()]
            return await whole, deltas, listed

    whole, deltas, listed = asyncio.run(ask())
    assert whole == "".join(deltas) + "\n"
    assert_is_what_was_said(whole)
    assert listed == ["demo", "whisper-1", "gpt-4o-transcribe"]


def test_models(client):
    listed = client.models.list().data
    assert [model.id for model in listed] == ["demo", "whisper-1", "gpt-4o-transcribe"]
    assert client.models.retrieve("whisper-1") == listed[1]
    for model in listed:
        assert transcribed(client, GERMAN, model=model.id).text
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("openai/whisper-tiny")


def envelope(raised):
    """The body of an error has always the same keys, and its request can be found in the log."""
    error = raised.value
    body = error.response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert error.request_id
    return error.type, error.param, error.code


ERRORS = [
    ({"model": "gpt-9"}, openai.NotFoundError, "model", "model_not_found"),
    ({"language": "klingon"}, openai.BadRequestError, "language", "request_invalid"),
    ({"temperature": 3.0}, openai.BadRequestError, "temperature", "request_invalid"),
    ({"response_format": "diarized_json"}, openai.BadRequestError, None, "diarization_unavailable"),
    ({"known_speaker_names": ["Ann"]}, openai.BadRequestError, "known_speaker_references", "request_invalid"),
    ({"timestamp_granularities": ["x"]}, openai.BadRequestError, "timestamp_granularities", "request_invalid"),
    ({"stream": True, "response_format": "srt"}, openai.BadRequestError, "stream", "request_invalid"),
    ({"file": b"this is no audio"}, openai.BadRequestError, "file", "audio_format"),
    ({"file": b"this is no audio", "stream": True}, openai.BadRequestError, "file", "audio_format"),
    ({"file": b""}, openai.BadRequestError, "file", "audio_empty"),
]


@pytest.mark.parametrize(("fields", "kind", "param", "code"), ERRORS)
def test_bad_requests(client, fields, kind, param, code):
    with pytest.raises(kind) as raised:
        client.audio.transcriptions.create(**{"model": "whisper-1", "file": ("a.mp3", b"x")} | fields)
    assert envelope(raised) == ("invalid_request_error", param, code)
    assert "/" not in raised.value.message.replace("audio/", ""), "no path of the server is told"


def test_an_error_names_the_file_as_its_sender_does(client):
    with pytest.raises(openai.BadRequestError, match=r"meeting\.mp3: the bytes are no container"):
        client.audio.transcriptions.create(model="whisper-1", file=("../../meeting.mp3", b"no audio at all"))


def test_a_wrong_key_is_401_before_anything_is_read(server):
    with client_of(server, api_key="sk-wrong") as stranger, pytest.raises(openai.AuthenticationError) as raised:
        transcribed(stranger)
    assert envelope(raised) == ("authentication_error", None, "unauthorized")


def test_a_file_that_is_too_large_is_413(client):
    with pytest.raises(openai.APIStatusError) as raised:
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", bytes(MAX_UPLOAD + 1)))
    assert raised.value.status_code == 413
    assert envelope(raised) == ("invalid_request_error", None, "request_too_large")
