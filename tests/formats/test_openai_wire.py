"""Transcripts as OpenAI's API answers them: what its own SDK takes, strictly, and what it means."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_transcripts import ordinary_segments, segment, spoken, transcript, transcripts
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)

from ifw.formats.openai_events import delta_event, done_event, event_text
from ifw.formats.openai_speakers import SpeakerNames
from ifw.formats.openai_wire import diarized_response, json_response, text_response, verbose_response

HELLO = spoken((" Hello", 0.5, 0.9), (" there.", 0.9, 1.25), token_ids=(7, 8, 9), token_logprobs=(-0.5, 0.0, -2.25))
BYE = segment(2.0, 3.0004, "Grüße!", token_ids=(3,), token_logprobs=(-1.0,))
BYTES = {7: b" He", 8: b"llo \xc3", 9: b"\xa9", 3: "Grüße!".encode()}


def token_bytes(token_ids):
    return b"".join(BYTES[token] for token in token_ids)


def strict(kind, value):
    """What the SDK makes of it, where every key is one that it knows and every value of the kind that it says."""
    as_sent = json.loads(json.dumps(value, allow_nan=False))
    parsed = kind.model_validate(as_sent, strict=True)
    assert parsed.to_dict(mode="json", exclude_unset=True) == as_sent
    assert not unknown_keys(parsed)
    return parsed


def unknown_keys(model):
    parts = [item for value in dict(model).values() for item in (value if isinstance(value, list) else [value])]
    nested = [unknown_keys(part) for part in parts if hasattr(part, "model_extra")]
    return {*(model.model_extra or {}), *(key for keys in nested for key in keys)} - {"task"}


def test_json():
    made = transcript(HELLO, BYE, duration_s=8.001, language="de")
    parsed = strict(Transcription, json_response(made))
    assert parsed.text == "Hello there. Grüße!"
    assert (parsed.usage.type, parsed.usage.seconds) == ("duration", 9)
    assert [one.code for one in parsed.languages] == ["de"]
    assert parsed.logprobs is None


def test_json_of_silence_names_no_language():
    parsed = strict(Transcription, json_response(transcript(duration_s=0.0)))
    assert (parsed.text, parsed.languages, parsed.usage.seconds) == ("", [], 0)


@pytest.mark.parametrize(("duration_s", "seconds"), [(8.0, 8), (8.0004, 8), (8.001, 9), (0.02, 1)])
def test_started_seconds_count(duration_s, seconds):
    assert json_response(transcript(duration_s=duration_s))["usage"]["seconds"] == seconds


def test_json_with_the_probabilities_of_tokens():
    parsed = strict(Transcription, json_response(transcript(HELLO, BYE), token_bytes))
    assert [one.logprob for one in parsed.logprobs] == [-0.5, 0.0, -2.25, -1.0]
    assert [one.token for one in parsed.logprobs] == [" He", "llo \ufffd", "\ufffd", "Grüße!"]
    data = bytes(int(byte) for one in parsed.logprobs for byte in one.bytes)
    assert data.decode() == " Hello éGrüße!"


def test_a_probability_that_is_not_known_is_null():
    made = transcript(replace(BYE, token_logprobs=(math.nan,)), replace(BYE, token_logprobs=None))
    assert [one["logprob"] for one in json_response(made, token_bytes)["logprobs"]] == [None]


def test_translations():
    made = transcript(HELLO, language="de", mode="translate")
    assert strict(Translation, json_response(made, token_bytes)).to_dict() == {"text": "Hello there."}
    verbose = verbose_response(made)
    del verbose["usage"]  # not in the schema, and kept as the SDK keeps what it does not know
    parsed = strict(TranslationVerbose, verbose)
    assert (parsed.language, parsed.model_extra) == ("english", {"task": "translate"})


def test_text_ends_its_line():
    assert text_response(transcript(HELLO, BYE)) == "Hello there. Grüße!\n"


def test_verbose_json():
    parsed = strict(TranscriptionVerbose, verbose_response(transcript(HELLO, BYE, duration_s=8.4704)))
    assert (parsed.language, parsed.duration, parsed.text) == ("english", 8.47, "Hello there. Grüße!")
    assert parsed.model_extra == {"task": "transcribe"}
    assert parsed.words is None
    assert [(one.id, one.seek, one.start, one.end, one.text) for one in parsed.segments] == [
        (0, 50, 0.5, 1.25, " Hello there."),
        (1, 200, 2.0, 3.0, " Grüße!"),
    ]
    assert (parsed.segments[0].tokens, parsed.segments[0].avg_logprob) == ([7, 8, 9], -0.25)
    assert parsed.usage.seconds == 9


@pytest.mark.parametrize(
    ("granularities", "has_segments", "has_words"),
    [({"segment"}, True, False), ({"word"}, False, True), ({"word", "segment"}, True, True)],
)
def test_granularities_say_what_is_there(granularities, has_segments, has_words):
    parsed = strict(TranscriptionVerbose, verbose_response(transcript(HELLO), granularities))
    assert (parsed.segments is not None, parsed.words is not None) == (has_segments, has_words)
    if has_words:
        assert [(one.word, one.start, one.end) for one in parsed.words] == [("Hello", 0.5, 0.9), ("there.", 0.9, 1.25)]


def test_words_of_silence_are_an_empty_list():
    assert verbose_response(transcript(), {"word"})["words"] == []


@pytest.mark.parametrize(
    ("code", "name"), [("ht", "haitian creole"), ("zh", "chinese"), ("yue", "cantonese"), ("x", "x")]
)
def test_languages_have_their_whole_name(code, name):
    assert verbose_response(transcript(HELLO, language=code))["language"] == name


def test_a_score_that_is_not_known_is_zero_as_the_api_has_no_null():
    made = transcript(replace(BYE, avg_logprob=math.nan, no_speech_prob=math.inf))
    (written,) = strict(TranscriptionVerbose, verbose_response(made)).segments
    assert (written.avg_logprob, written.no_speech_prob) == (0.0, 0.0)


def test_diarized_json_cuts_where_the_speaker_changes():
    made = transcript(
        segment(0, 1, "Good day.", speaker="SPEAKER_07"),
        spoken((" And", 1, 2, "SPEAKER_07"), (" you?", 2, 3, "SPEAKER_07"), (" Fine.", 3, 4, "SPEAKER_02")),
        segment(5, 6, "Who?"),
        segment(6, 7, "Me.", speaker="SPEAKER_07"),
    )
    parsed = strict(TranscriptionDiarized, diarized_response(made))
    assert parsed.text == "A: Good day. And you?\nB: Fine.\nunknown: Who?\nA: Me."
    assert [(one.id, one.start, one.end, one.text, one.speaker) for one in parsed.segments] == [
        ("seg_001", 0, 1, "Good day.", "A"),
        ("seg_002", 1, 3, "And you?", "A"),
        ("seg_003", 3, 4, "Fine.", "B"),
        ("seg_004", 5, 6, "Who?", "unknown"),
        ("seg_005", 6, 7, "Me.", "A"),
    ]
    assert (parsed.task, parsed.duration, parsed.usage.seconds) == ("transcribe", 7, 7)


def test_known_speakers_have_their_names_and_take_no_letter():
    made = transcript(*(segment(number, number + 1, "Hi.", speaker=f"S{number}") for number in range(3)))
    assert diarized_response(made, {"S0": "agent"})["text"] == "agent: Hi.\nA: Hi.\nB: Hi."
    assert diarized_response(made, {"S2": "A"})["text"] == "B: Hi.\nC: Hi.\nA: Hi.", "a letter that is a name is taken"


def test_letters_go_on_after_z():
    names = SpeakerNames()
    given = [names.name(f"S{number}") for number in range(26 * 27 + 1)]
    assert (given[0], given[25], given[26], given[27], given[52], given[-1]) == ("A", "Z", "AA", "AB", "BA", "AAA")
    assert len(set(given)) == len(given)
    assert names.name("S1") == "B"


@given(ordinary_segments(speakers=(None, "x", "y")))
def test_no_word_is_lost_between_speakers(made):
    pieces = list(SpeakerNames().pieces(made))
    assert "".join(piece.text for piece in pieces).replace(" ", "") == "".join(
        one.text.replace(" ", "") for one in made
    )
    times = [time_s for piece in pieces for time_s in (piece.start_s, piece.end_s)]
    assert times == sorted(times)


@given(transcripts())
def test_deltas_add_up_to_the_text_that_is_done(made):
    deltas = [strict(TranscriptionTextDeltaEvent, delta_event(one)).delta for one in made.segments]
    assert "".join(deltas) == strict(TranscriptionTextDoneEvent, done_event(made)).text == made.text


def test_events_carry_probabilities_where_they_are_asked_for():
    made = transcript(HELLO, BYE, duration_s=1.0)
    deltas = [strict(TranscriptionTextDeltaEvent, delta_event(one, token_bytes)) for one in made.segments]
    done = strict(TranscriptionTextDoneEvent, done_event(made, token_bytes))
    assert [one.logprob for delta in deltas for one in delta.logprobs] == [one.logprob for one in done.logprobs]
    assert len(done.logprobs) == 4
    usage = done.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (50, 4, 54)
    assert "logprobs" not in done_event(made)
    assert "logprobs" not in delta_event(HELLO)


@given(st.text())
def test_an_event_is_one_line_for_every_reader(text):
    written = event_text({"delta": f"\u2028\x85\r\n{text}"})
    assert written.isascii()
    line, blank, rest = written.split("\n")
    assert (blank, rest) == ("", "")
    assert json.loads(line.removeprefix("data: ")) == {"delta": f"\u2028\x85\r\n{text}"}
