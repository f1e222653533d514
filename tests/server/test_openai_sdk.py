"""The `openai` package, as it is, against a real server process: every format, streams, errors."""

import asyncio
import io
import json
import re
import time
import wave
from importlib.resources import files
from pathlib import Path

import av
import httpx2
import openai
import pytest
from openai.types.audio import TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent
from server_process import PATIENCE_S, serving

from ifw import DecodeOptions, TranscribeOptions, Transcriber
from ifw.formats import to_srt, to_vtt

SAMPLE = Path(str(files("ifw") / "demo" / "sample.mp3"))
TRUTH = json.loads(SAMPLE.with_suffix(".json").read_text(encoding="utf-8"))
GERMAN = Path(__file__).parents[1] / "end_to_end" / "heldout" / "de_single_00.ogg"
KEY = "sk-test-4711"
MAX_UPLOAD = 1_000_000
DEPRECATED = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI ends its own translations


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openai")
    env = {"ADMIN_KEY": KEY, "IFW_MODEL_ALIASES": "whisper-1,gpt-4o-transcribe"}
    with serving(folder, "--max-upload-bytes", str(MAX_UPLOAD), env=env) as running:
        running.wait_ready()
        yield running
        deadline = time.monotonic() + PATIENCE_S
        while left := list((folder / "data" / "live").iterdir()):  # the last client hung up a moment ago
            assert time.monotonic() < deadline, left
            time.sleep(0.01)


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
    ({"response_format": "diarized_json"}, openai.BadRequestError, "response_format", "request_invalid"),
    ({"known_speaker_names": ["Ann"]}, openai.BadRequestError, "known_speaker_names", "request_invalid"),
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


# Bodies as clients other than the SDK send them


def form(*pairs, boundary="----WebKitFormBoundary7MA4YWxk", file=GERMAN):
    """A form by hand; the file comes where its pair is."""
    parts = []
    for name, value in pairs:
        if value is None:
            head = f'form-data; name="{name}"; filename="{file.name}"\r\nContent-Type: application/octet-stream'
            data = file.read_bytes()
        else:
            head, data = f'form-data; name="{name}"', value.encode()
        parts.append(f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }


def posted(server, *pairs, path="/v1/audio/transcriptions", **headers):
    data, content_type = form(*pairs)
    return server.client.post(path, content=data, headers={"Authorization": f"Bearer {KEY}", **content_type, **headers})


FILE = ("file", None)


@pytest.mark.parametrize(
    "pairs",
    [
        [FILE, ("model", "whisper-1"), ("response_format", "verbose_json"), ("timestamp_granularities[]", "word")],
        [("timestamp_granularities", "word"), ("response_format", "verbose_json"), FILE],
        [("response_format", "verbose_json"), ("timestamp_granularities", '["word"]'), FILE, ("model", "whisper-1")],
        [
            FILE,
            ("chunking_strategy", "auto"),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[0]", "word"),
        ],
    ],
)
def test_fields_in_any_order_and_encoding(server, pairs):
    reply = posted(server, *pairs)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert (bool(body["words"]), "segments" in body) == (True, False)


def test_a_form_without_a_model_gets_the_loaded_one(server):
    assert posted(server, FILE).json()["text"]


def test_events_on_the_wire(server):
    reply = posted(server, FILE, ("stream", "true"))
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-cache"
    lines = reply.text.split("\n\n")
    assert lines.pop() == ""
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [event["type"] for event in events][-2:] == ["transcript.text.delta", "transcript.text.done"]


def test_text_has_the_type_that_openai_gives_it(server):
    for form_name in ("text", "srt", "vtt"):
        reply = posted(server, FILE, ("response_format", form_name))
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert "ü" in reply.content.decode() or reply.content


def raw_error(reply, status):
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert reply.headers["x-request-id"]
    return body["error"]["param"], body["error"]["code"]


def test_a_form_without_a_file(server):
    assert raw_error(posted(server, ("model", "whisper-1")), 400) == ("file", "request_invalid")


def test_a_body_that_is_no_form(server):
    headers = {"Authorization": f"Bearer {KEY}"}
    reply = server.client.post("/v1/audio/transcriptions", json={"model": "whisper-1"}, headers=headers)
    assert raw_error(reply, 415) == (None, "media_type_unsupported")


def test_routes_and_methods_that_are_not_there(server):
    headers = {"Authorization": f"Bearer {KEY}"}
    assert raw_error(server.client.get("/v1/nothing", headers=headers), 404)[1] == "not_found"
    assert raw_error(server.client.get("/v1/audio/transcriptions", headers=headers), 405)[1] == "method_not_allowed"
    assert raw_error(server.client.get("/v1/models/", headers=headers), 404) == ("model", "model_not_found")
    assert raw_error(server.client.get("/v1/models/a/b/c", headers=headers), 404) == ("model", "model_not_found")


def test_curl_as_the_documentation_of_openai_has_it(server):
    """`curl -F file=@... -F model=...` waits for 100 Continue before a large body."""
    reply = posted(server, FILE, ("model", "whisper-1"), Expect="100-continue")
    assert reply.json()["text"]


def test_a_client_that_hangs_up_while_it_sends_leaves_nothing(server, client):
    data, headers = form(FILE)
    request = "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEY + "\r\n"
    head = request + f"Content-Type: {headers['Content-Type']}\r\nContent-Length: {len(data)}\r\n\r\n"
    url = httpx2.URL(server.url)

    async def hang_up():
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(head.encode() + data[: len(data) // 2])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    asyncio.run(asyncio.wait_for(hang_up(), PATIENCE_S))
    assert client.models.list().data
