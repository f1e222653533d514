"""Saved transcripts come back as they were; what is damaged is named."""

import json
import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_transcripts import ordinary_segments, segment, spoken, transcript

from ifw.errors import TranscriptError
from ifw.formats import from_json, to_dict, to_json, to_openai_json
from ifw.types import SuspectReason, TranscriptWarning

times = st.integers(0, 10**9).map(lambda ms: ms / 1000)
scores = st.one_of(st.integers(-(10**9), 10**9).map(lambda millionths: millionths / 10**6), st.just(0.0))
names = st.text(max_size=9)
labels = st.one_of(st.none(), names)


@st.composite
def saved(draw):
    """A transcript whose numbers are rounded already, as those of a file are."""
    segments = []
    for item in draw(st.lists(ordinary_segments(), max_size=2)):
        for made in item:
            words = draw(st.sampled_from([None, (), tuple(replace(word, speaker=draw(labels)) for word in made.words)]))
            tokens = tuple(draw(st.lists(st.integers(0, 60_000), max_size=4)))
            segments.append(
                segment(
                    made.start_s,
                    made.end_s,
                    made.text,
                    words=words,
                    token_ids=tokens,
                    speaker=draw(labels),
                    language=draw(names),
                    avg_logprob=draw(scores),
                    token_logprobs=draw(st.sampled_from([None, tuple(draw(scores) for _ in tokens)])),
                    suspect=draw(st.sampled_from([None, *get_args(SuspectReason)])),
                )
            )
    return transcript(
        *segments,
        text=draw(names).strip(),
        language=draw(names),
        language_probability=draw(scores),
        duration_s=draw(times),
        mode=draw(st.sampled_from(["transcribe", "translate"])),
        model=draw(names),
        warnings=tuple(draw(st.lists(st.builds(TranscriptWarning, names, names), max_size=2))),
        timings=draw(st.dictionaries(names, times, max_size=2)),
        language_probabilities=draw(st.dictionaries(names, scores, max_size=2)),
    )


@given(saved(), st.sampled_from([None, 2]))
def test_what_was_written_is_read(made, indent):
    assert from_json(to_json(made, indent=indent)) == made
    assert from_json(to_json(made).encode()) == made


@given(saved())
def test_openai_json_gives_back_what_it_holds(made):
    read = from_json(to_openai_json(made))
    assert read.language == made.language
    for one, other in zip(read.segments, made.segments, strict=True):
        assert one == replace(other, language=made.language, suspect=None, token_logprobs=None)


def test_numbers_come_back_rounded_and_unknown_ones_as_nan():
    made = transcript(segment(0.12345, 1.98765, "Hi", avg_logprob=-0.123456789, no_speech_prob=math.inf))
    (read,) = from_json(to_json(made)).segments
    assert (read.start_s, read.end_s, read.avg_logprob) == (0.123, 1.988, -0.123457)
    assert math.isnan(read.no_speech_prob)


def test_a_file_of_openai_whisper():
    written = {
        "text": " Hello you.",
        "segments": [
            {
                "id": 0,
                "seek": 0,
                "start": 0.0,
                "end": 1.5,
                "text": " Hello you.",
                "tokens": [50364, 2425, 291, 13, 50439],
                "temperature": 0.0,
                "avg_logprob": math.nan,
                "compression_ratio": 0.55,
                "no_speech_prob": 0.01,
                "words": [
                    {"word": " Hello", "start": 0.0, "end": 0.5, "probability": 0.9},
                    {"word": " you.", "start": 0.5, "end": 1.5, "probability": 0.8},
                ],
            }
        ],
        "language": "en",
    }
    read = from_json(json.dumps(written))
    assert (read.text, read.language, read.duration_s, read.model) == ("Hello you.", "en", 1.5, "")
    (one,) = read.segments
    assert (one.text, one.token_ids, one.compression_ratio) == ("Hello you.", (50364, 2425, 291, 13, 50439), 0.55)
    assert [(word.text, word.end_s) for word in one.words] == [(" Hello", 0.5), (" you.", 1.5)]
    assert math.isnan(one.avg_logprob)


def test_keys_of_the_future_are_ignored_and_most_may_be_missing():
    content = {
        "language": "en",
        "segments": [{"start_s": 0, "end_s": 2, "text": "Hi", "mood": "happy"}],
        "file": "a.mp3",
    }
    read = from_json(json.dumps(content))
    assert (read.text, read.duration_s, read.mode, read.warnings, read.timings) == ("Hi", 2.0, "transcribe", (), {})
    (one,) = read.segments
    assert (one.id, one.language, one.words, one.speaker, one.token_ids) == (0, "en", None, None, ())


def test_a_byte_order_mark_is_no_text():
    assert from_json(b"\xef\xbb\xbf" + to_json(transcript()).encode()) == transcript()


def damaged(path, value):
    content = to_dict(transcript(spoken((" Hi", 0, 1), (" you", 1, 2)), segment(2, 3, "too")))
    *parents, last = path
    place = content
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(content)


FIRST = ("segments", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["language"], ..., "language: got nothing, allowed: text"),
        (["language"], None, "language: got null, allowed: text"),
        (["segments"], {}, "segments: got an object, allowed: a list"),
        (["segments", 1], 7, "segments[1]: got 7, allowed: an object"),
        ([*FIRST, "start_s"], ..., "segments[0].start_s: got nothing, allowed: seconds, 0 to 10000000"),
        ([*FIRST, "start_s"], "0:01", "segments[0].start_s: got '0:01', allowed: seconds, 0 to 10000000"),
        ([*FIRST, "start_s"], -1, "segments[0].start_s: got -1, allowed: seconds, 0 to 10000000"),
        ([*FIRST, "start_s"], math.nan, "segments[0].start_s: got nan, allowed: seconds"),
        ([*FIRST, "start_s"], 10**400, "segments[0].start_s: got a huge number, allowed: seconds"),
        ([*FIRST, "end_s"], True, "segments[0].end_s: got true, allowed: seconds"),
        (["segments", 1, "end_s"], 1.5, "segments[1].end_s: got 1.5, allowed: seconds, 2 to 10000000"),
        ([*FIRST, "text"], ["Hi"], "segments[0].text: got a list, allowed: text"),
        ([*FIRST, "text"], ..., "segments[0].text: got nothing, allowed: text"),
        ([*FIRST, "id"], True, "segments[0].id: got true, allowed: an integer"),
        ([*FIRST, "token_ids"], [1, "2"], "segments[0].token_ids[1]: got '2', allowed: an integer"),
        ([*FIRST, "token_logprobs"], -1, "segments[0].token_logprobs: got -1, allowed: a list"),
        ([*FIRST, "token_logprobs"], [-1, "x"], "segments[0].token_logprobs[1]: got 'x', allowed: a number"),
        ([*FIRST, "avg_logprob"], "low", "segments[0].avg_logprob: got 'low', allowed: a number or null"),
        ([*FIRST, "avg_logprob"], 10**400, "segments[0].avg_logprob: got a huge number, allowed: a number or null"),
        ([*FIRST, "suspect"], "mood", "segments[0].suspect: got 'mood', allowed: "),
        ([*FIRST, "suspect"], [], "segments[0].suspect: got a list, allowed: "),
        ([*FIRST, "speaker"], 1, "segments[0].speaker: got 1, allowed: text"),
        ([*FIRST, "words"], "Hi you", "segments[0].words: got 'Hi you', allowed: a list"),
        ([*FIRST, "words", 1, "end_s"], 0.5, "segments[0].words[1].end_s: got 0.5, allowed: seconds, 1 to"),
        ([*FIRST, "words", 1, "text"], None, "segments[0].words[1].text: got null, allowed: text"),
        (["mode"], "sing", "mode: got 'sing', allowed: transcribe, translate"),
        (["duration_s"], "long", "duration_s: got 'long', allowed: seconds"),
        (
            [
                "warnings",
            ],
            [{}],
            "warnings[0].code: got nothing, allowed: text",
        ),
        (["timings"], {"load": "1"}, "timings.load: got '1', allowed: a number or null"),
        (["text"], "x" * 90, None),
        (["model"], 1e300, "model: got 1e+300, allowed: text"),
    ],
)
def test_what_is_damaged_is_named(path, value, message):
    content = damaged(path, value)
    if message is None:
        from_json(content)
        return
    with pytest.raises(TranscriptError) as caught:
        from_json(content)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "got no JSON"),
        ("1\n00:00:00,000 --> 00:00:01,000\nHi", "got no JSON"),
        (to_json(transcript(), indent=None) * 2, "got no JSON (Extra data"),
        ("[]", "the file: got a list, allowed: an object"),
        ("7", "the file: got 7, allowed: an object"),
        ('{"text": "Hi", "chunks": []}', "got JSON without 'segments', allowed: a transcript"),
        ("[" * 100_000, "got JSON that is nested too deeply"),
        (b"\xff\xfe{}", "got bytes that are no UTF-8"),
        ('{"segments": [{"start_s": ' + "1" * 5000 + "}]}", "got no JSON"),
    ],
)
def test_what_is_no_transcript_is_refused(content, message):
    with pytest.raises(TranscriptError) as caught:
        from_json(content)
    assert str(caught.value).startswith(message)
    assert caught.value.code == "transcript_invalid"
