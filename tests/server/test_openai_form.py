"""What the fields of a form come to, in all the encodings that clients send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifw.config import DEFAULT_TEMPERATURES, DiarizationOptions, VadOptions
from ifw.errors import ModelNotFoundError, RequestError
from ifw.server.multipart import Form
from ifw.server.openai.form import read_audio_form
from ifw.server.openai.models import ServedModels
from ifw.service.settings import load_settings

DIARIZED = ("response_format", "diarized_json")


def read(*pairs, mode="transcribe", clips=()):
    return read_audio_form(Form(pairs, long_fields=tuple(("known_speaker_references", clip) for clip in clips)), mode)


def refused(*pairs, **more):
    with pytest.raises(RequestError) as raised:
        read(*pairs, **more)
    assert raised.value.code == "request_invalid"
    return raised.value.param, str(raised.value)


def test_what_is_left_out_has_openais_defaults():
    asked = read()
    assert (asked.response_format, asked.granularities) == ("json", {"segment"})
    assert (asked.model, asked.url, asked.is_streamed, asked.has_logprobs) == (None, None, False, False)
    assert asked.options.decode.temperatures == DEFAULT_TEMPERATURES
    assert asked.options.decode.language is None
    assert asked.options.vad == VadOptions()
    assert not asked.options.decode.word_timestamps
    assert not asked.options.decode.token_logprobs
    assert (asked.options.decode.mode, read(mode="translate").options.decode.mode) == ("transcribe", "translate")


def test_speakers_are_told_apart_where_the_reply_shows_them():
    assert read(DIARIZED).options.diarize == DiarizationOptions()
    counts = (("min_speakers", "2"), ("max_speakers", "4"))
    assert read(DIARIZED, *counts).options.diarize == DiarizationOptions(min_speakers=2, max_speakers=4)
    assert read(DIARIZED, ("stream", "true")).is_streamed
    for response_format in ("json", "text", "srt", "vtt", "verbose_json"):
        assert read(("response_format", response_format)).options.diarize is None
    asked = read(("model", "gpt-4o-transcribe-diarize"))
    assert (asked.model, asked.response_format, asked.options.diarize) == ("gpt-4o-transcribe-diarize", "json", None)
    assert refused(DIARIZED, mode="translate")[0] == "response_format"


def test_known_speakers_have_a_name_and_a_clip_each(tmp_path):
    clips = [tmp_path / "0", tmp_path / "1"]
    known = read(DIARIZED, ("known_speaker_names[]", "Ann, PhD"), ("known_speaker_names[]", "Bob"), clips=clips)
    assert (known.known_speakers.names, known.known_speakers.parts) == (("Ann, PhD", "Bob"), tuple(clips))
    listed = read(DIARIZED, ("known_speaker_names", '["Ann, PhD", "Bob"]'), clips=clips[:1])
    assert listed.known_speakers.names == ("Ann, PhD", "Bob")
    assert read(DIARIZED).known_speakers.names == ()


@pytest.mark.parametrize(
    ("names", "param", "part"),
    [
        ([], "known_speaker_names", "is missing"),
        (list("abcde"), "known_speaker_names", "got 5, allowed: at most 4"),
        (["Ann", "Bob", "Ann"], "known_speaker_names", "got 'Ann' twice"),
        (["Ann\nBob: no"], "known_speaker_names", "allowed: one line"),
        (["x" * 101], "known_speaker_names", "at most 100 characters"),
    ],
)
def test_names_that_are_not_allowed(tmp_path, names, param, part):
    found = refused(DIARIZED, *(("known_speaker_names[]", name) for name in names), clips=[tmp_path / "0"])
    assert found[0] == param
    assert part in found[1]


def test_known_speakers_without_diarization_are_no_use(tmp_path):
    param, message = refused(("known_speaker_names[]", "Ann"), clips=[tmp_path / "0"])
    assert (param, "response_format diarized_json" in message) == ("known_speaker_names", True)


WORD_AND_SEGMENT = [
    [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")],
    [("timestamp_granularities", "segment"), ("timestamp_granularities", "word")],
    [("timestamp_granularities[0]", "word"), ("timestamp_granularities[1]", "segment")],
    [("timestamp_granularities", '["word", "segment"]')],
    [("timestamp_granularities[]", '["word","segment"]')],
    [("timestamp_granularities", "word,segment")],
    [("timestamp_granularities[]", "word, segment")],
    [("timestamp_granularities[]", "word"), ("timestamp_granularities", "segment")],
    [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "word,segment")],
]


@pytest.mark.parametrize("pairs", WORD_AND_SEGMENT)
def test_lists_in_every_encoding(pairs):
    asked = read(("response_format", "verbose_json"), *pairs)
    assert asked.granularities == {"word", "segment"}
    assert asked.options.decode.word_timestamps


@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities"])
def test_only_words(name):
    assert read(("response_format", "verbose_json"), (name, "word")).granularities == {"word"}
    assert read(("response_format", "verbose_json"), (name, "")).granularities == {"segment"}


@pytest.mark.parametrize(
    ("form", "has_words"), [("json", False), ("text", False), ("srt", True), ("vtt", True), ("verbose_json", True)]
)
def test_words_are_timed_only_where_something_shows_their_times(form, has_words):
    asked = read(("response_format", form), ("timestamp_granularities[]", "word"))
    assert asked.options.decode.word_timestamps == has_words


TUNED = VadOptions(onset=0.7, pad_ms=150, min_silence_ms=900)
VALUES = {"type": "server_vad", "threshold": 0.7, "prefix_padding_ms": 150, "silence_duration_ms": 900}


@pytest.mark.parametrize(
    "pairs",
    [
        [(f"chunking_strategy[{key}]", str(value)) for key, value in VALUES.items()],
        [("chunking_strategy", json.dumps(VALUES))],
        [("chunking_strategy", json.dumps({**VALUES, "threshold": "0.7"}))],
        [(f"chunking_strategy[{key}]", str(value)) for key, value in VALUES.items() if key != "type"],
    ],
)
def test_objects_in_every_encoding(pairs):
    assert read(*pairs).options.vad == TUNED


@pytest.mark.parametrize("value", ["auto", '"auto"', "", "null", '{"type": "auto"}', '{"type": "server_vad"}'])
def test_strategies_that_leave_the_choice_to_the_server(value):
    assert read(("chunking_strategy", value)).options.vad == VadOptions()
    assert read(("chunking_strategy[type]", "server_vad")).options.vad == VadOptions()


@pytest.mark.parametrize(("threshold", "onset"), [("0", 0.001), ("1", 0.999), ("0.25", 0.25)])
def test_thresholds_from_0_to_1_are_allowed(threshold, onset):
    assert read(("chunking_strategy[threshold]", threshold)).options.vad.onset == onset


@pytest.mark.parametrize(
    "value",
    [
        *("none", "[]", "7", "{", "[" * 100_000, '{"type": "client"}', '{"speed": 3}', '{"silence_duration_ms": -1}'),
        *(f'{{"threshold": {number}}}' for number in ("2", "true", "NaN", "[1]", "1e999", '"x"')),
        '{"prefix_padding_ms": 5001}',
    ],
)
def test_strategies_that_are_none(value):
    assert refused(("chunking_strategy", value))[0] == "chunking_strategy"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("True", True), ("1", True), ("yes", True), ("false", False), ("0", False), ("", False)],
)
def test_booleans(value, expected):
    assert read(("stream", value)).is_streamed is expected


def test_temperature_0_is_the_ladder_and_any_other_is_alone():
    assert read(("temperature", "0")).options.decode.temperatures == DEFAULT_TEMPERATURES
    assert read(("temperature", "0.0")).options.decode.temperatures == DEFAULT_TEMPERATURES
    assert read(("temperature", "0.3")).options.decode.temperatures == (0.3,)
    assert read(("temperature", "1")).options.decode.temperatures == (1.0,)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("language", "DE", "de"),
        ("language", "en-US", "en"),
        ("language", "German", "de"),
        ("language", "auto", None),
        ("language", " ", None),
        ("languages[]", "spa", "es"),
        ("languages", '["es"]', "es"),
    ],
)
def test_languages(name, value, code):
    assert read((name, value)).options.decode.language == code


def test_words_to_expect():
    decode = read(
        ("prompt", "Hi, Ann."), ("keywords[]", "Ann"), ("keywords[]", "Jo"), ("hotwords", "[x]")
    ).options.decode
    assert (decode.initial_prompt, decode.hotwords) == ("Hi, Ann.", "Ann, Jo, [x]")


def test_probabilities_of_tokens():
    for pairs in ([("include[]", "logprobs")], [("include", "logprobs")], [("include", '["logprobs"]')]):
        asked = read(*pairs)
        assert asked.has_logprobs
        assert asked.options.decode.token_logprobs


@pytest.mark.parametrize(
    ("pairs", "param", "part"),
    [
        ([("response_format", "xml")], "response_format", "allowed: json, text, srt, verbose_json, vtt"),
        ([("known_speaker_names[]", "Ann")], "known_speaker_references", "is missing"),
        ([("num_speakers", "2")], "num_speakers", "allowed: response_format diarized_json"),
        ([DIARIZED, ("num_speakers", "0")], "num_speakers", "allowed: a number, 1 to 100"),
        ([DIARIZED, ("max_speakers", "1.5")], "max_speakers", "allowed: a whole number"),
        ([DIARIZED, ("min_speakers", "3"), ("max_speakers", "2")], "min_speakers", "min_speakers: got 3"),
        ([DIARIZED, ("include[]", "logprobs")], "include", "allowed: response_format json"),
        ([("model", "gpt-4o-transcribe-diarize"), ("response_format", "srt")], "response_format", "diarized_json"),
        ([("timestamp_granularities[]", "sentence")], "timestamp_granularities", "allowed: word, segment"),
        ([("timestamp_granularities", '["word"')], "timestamp_granularities", "no JSON"),
        ([("timestamp_granularities", '{"word": 1}')], "timestamp_granularities", "a list of texts"),
        ([("timestamp_granularities", "[1]")], "timestamp_granularities", "a list of texts"),
        ([("include[]", "usage")], "include", "allowed: logprobs"),
        ([("include[]", "logprobs"), ("response_format", "text")], "include", "allowed: response_format json"),
        ([("stream", "maybe")], "stream", "allowed: true, false"),
        (
            [("stream", "true"), ("response_format", "srt")],
            "stream",
            "allowed: response_format json, text or diarized_json",
        ),
        ([("temperature", "1.1")], "temperature", "allowed: a number, 0 to 1"),
        ([("temperature", "-0.1")], "temperature", "got '-0.1'"),
        ([("temperature", "nan")], "temperature", "got 'nan'"),
        ([("temperature", "warm")], "temperature", "got 'warm'"),
        ([("language", "klingon")], "language", "allowed: one of"),
        ([("languages[]", "en"), ("languages[]", "de")], "languages", "allowed: one"),
        ([("languages[]", "en"), ("language", "de")], "languages", "another one than language"),
        ([("prompt", "a"), ("prompt", "b")], "prompt", "got 2 values"),
        ([("timestamp_granularity[]", "word")], "timestamp_granularity", "you may mean timestamp_granularities"),
        ([("response-format", "srt")], "response-format", "you may mean response_format"),
    ],
)
def test_what_is_refused_names_its_field(pairs, param, part):
    named, message = refused(*pairs)
    assert named == param
    assert part in message


def test_messages_are_short_whatever_was_sent():
    for name in ("language", "temperature", "stream", "response_format", "chunking_strategy", "include"):
        assert len(refused((name, "x" * 60_000))[1]) < 600, name


def test_fields_of_other_servers_are_ignored():
    assert read(("user", "ann"), ("beam_size", "5"), ("x[y][z]", "1"), ("", "")) == read()


def test_the_voice_detector_can_be_switched_off_as_elsewhere():
    assert not read(("vad_filter", "false")).options.vad.enabled
    assert read(("vad_filter", "true")).options.vad.enabled


names = st.sampled_from(
    ["model", "language", "prompt", "temperature", "stream", "include", "timestamp_granularities", "chunking_strategy"]
)
keys = st.sampled_from(["", "[]", "[0]", "[type]", "[threshold]", "[[", "]"])
odd = st.one_of(st.text(max_size=12), st.sampled_from(["[", "{", "null", "1e400", "[[[[", '{"a":1}', "\0", "-0"]))


@given(st.lists(st.tuples(st.builds(str.__add__, names, keys), odd), max_size=4))
def test_any_form_is_read_or_refused(pairs):
    refusal = None
    try:
        read(*pairs)
    except RequestError as error:
        refusal = error
    assert refusal is None or (refusal.param and len(str(refusal)) < 600)


def test_a_model_answers_to_all_its_names():
    served = ServedModels("turbo", ["whisper-1", "gpt-4o-transcribe"])
    assert served.ids == ("turbo", "openai/whisper-large-v3-turbo", "whisper-1", "gpt-4o-transcribe")
    for name in (None, "turbo", "Whisper-1", "openai/whisper-large-v3-turbo", "whisper-large-v3-turbo"):
        served.check(name)
    for name in ("large-v3-turbo", "whisper-turbo", "openai-whisper-large-v3-turbo", "gpt-4o-transcribe"):
        served.check(name)
    for name in ("tiny", "openai/whisper-tiny", "gpt-4o-mini-transcribe", ""):
        with pytest.raises(ModelNotFoundError, match="allowed: turbo, openai/whisper-large-v3-turbo, whisper-1"):
            served.check(name)


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        ("Systran/faster-whisper-large-v3", "large-v3"),
        ("Systran/faster-whisper-tiny.en", "tiny.en"),
        ("Systran/faster-distil-whisper-large-v3", "distil-large-v3"),
        ("deepdml/faster-whisper-large-v3-turbo-ct2", "turbo"),
        ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", "openai/whisper-large-v3-turbo"),
    ],
)
def test_a_model_answers_to_the_names_of_its_conversions(asked, model):
    ServedModels(model, []).check(asked)
    for other in ("base", "somebody/faster-whisper-large-v3"):
        with pytest.raises(ModelNotFoundError):
            ServedModels(other, []).check(asked)


def test_a_fine_tune_is_not_what_it_is_called_after():
    with pytest.raises(ModelNotFoundError):
        ServedModels("large-v3", []).check("somebody/whisper-large-v3")


def test_a_hub_id_answers_to_its_short_name():
    served = ServedModels("openai/whisper-tiny", [])
    assert served.ids == ("openai/whisper-tiny",)
    served.check("tiny")
    assert served.entry("openai/whisper-tiny")["owned_by"] == "openai"


def test_of_a_folder_only_its_name_is_told():
    served = ServedModels(load_settings({"model": "/srv/models/ours"}).model_name, ["whisper-1"])
    assert served.ids == ("ours", "whisper-1")
    with pytest.raises(ModelNotFoundError) as raised:
        served.check("other")
    assert "srv" not in str(raised.value)
    assert served.entry("ours")["owned_by"] == "ifw"
