"""Byte for byte what openai-whisper's own writers write about the same segments."""

import io
import json

import pytest
import whisper.utils
from hypothesis import given
from hypothesis import strategies as st
from made_transcripts import ordinary_segments, segment, spoken, transcript

from ifw import SubtitleOptions
from ifw.formats import to_openai_dict, to_openai_json, to_srt, to_tsv, to_txt, to_vtt

WRITERS = {
    "txt": (whisper.utils.WriteTXT, to_txt),
    "tsv": (whisper.utils.WriteTSV, to_tsv),
    "srt": (whisper.utils.WriteSRT, to_srt),
    "vtt": (whisper.utils.WriteVTT, to_vtt),
}
limits = st.fixed_dictionaries(
    {
        "max_line_width": st.one_of(st.none(), st.integers(1, 60)),
        "max_line_count": st.one_of(st.none(), st.integers(1, 4)),
        "max_words_per_line": st.one_of(st.none(), st.integers(1, 9)),
        "highlight_words": st.booleans(),
    }
)
short = st.lists(st.sampled_from(["Yes.", "and", "so?", "über", "R2D2", "--", "no!"]), min_size=1, max_size=8)


def as_openai(segments):
    """What openai-whisper's `transcribe` returns, spelled out here."""
    made = []
    for index, item in enumerate(segments):
        numbers = {"temperature": 0.0, "avg_logprob": -0.25, "compression_ratio": 1.2, "no_speech_prob": 0.01}
        is_spaced = item.words is None or item.words[0].text.startswith(" ")
        written = {
            "id": index,
            "seek": int(item.start_s * 100),
            "start": item.start_s,
            "end": item.end_s,
            "text": f" {item.text}" if is_spaced else item.text,
            "tokens": [1, 2],
            **numbers,
        }
        if item.words is not None:
            written["words"] = [
                {"word": word.text, "start": word.start_s, "end": word.end_s, "probability": word.probability}
                for word in item.words
            ]
        made.append(written)
    return {"text": "".join(item["text"] for item in made), "segments": made, "language": "en"}


def theirs(name, segments, **options):
    written = io.StringIO()
    WRITERS[name][0]("").write_result(as_openai(segments), written, **options)
    return written.getvalue()


@pytest.mark.parametrize("name", ["srt", "vtt"])
@given(segments=ordinary_segments(), options=limits)
def test_with_word_times(name, segments, options):
    ours = SubtitleOptions(**options, min_cue_s=None, layout="openai")
    assert WRITERS[name][1](transcript(*segments), ours) == theirs(name, segments, **options)


@pytest.mark.parametrize("name", ["srt", "vtt"])
@given(segments=ordinary_segments(with_words=False), options=limits)
def test_without_word_times(name, segments, options):
    ours = SubtitleOptions(**options, min_cue_s=None, layout="openai")
    assert WRITERS[name][1](transcript(*segments), ours) == theirs(name, segments, **options)


@pytest.mark.parametrize("name", ["srt", "vtt"])
@given(lengths=st.lists(st.tuples(short, st.integers(0, 20_000), st.integers(800, 30_000)), max_size=6))
def test_with_our_defaults_where_a_segment_fits_on_a_line(name, lengths):
    segments, now_ms = [], 0
    for words, gap_ms, length_ms in lengths:
        start_ms, now_ms = now_ms + gap_ms, now_ms + gap_ms + length_ms
        segments.append(segment(start_ms / 1000, now_ms / 1000, " ".join(words)))
    assert WRITERS[name][1](transcript(*segments)) == theirs(name, segments)


@pytest.mark.parametrize("name", ["txt", "tsv"])
@given(segments=st.one_of(ordinary_segments(), ordinary_segments(with_words=False)))
def test_lines(name, segments):
    assert WRITERS[name][1](transcript(*segments)) == theirs(name, segments)


@given(segments=st.one_of(ordinary_segments(), ordinary_segments(with_words=False)))
def test_json(segments):
    written = io.StringIO()
    whisper.utils.WriteJSON("").write_result(as_openai(segments), written)
    assert to_openai_json(transcript(*segments)) == written.getvalue()


def test_every_writer_on_silence():
    for name, (_, ours) in WRITERS.items():
        assert ours(transcript()) == theirs(name, [])


def test_json_has_no_space_where_the_language_writes_none():
    assert to_openai_dict(transcript(segment(0, 1, "你好。", language="zh")))["text"] == "你好。"
    assert to_openai_dict(transcript(segment(0, 1, ""), segment(1, 2, "Hi.")))["text"] == " Hi."


def test_json_names_speakers_and_has_no_infinity():
    made = to_openai_dict(transcript(spoken((" Hi", 0, 1, "A"), speaker="B", avg_logprob=float("-inf"))))
    (read,) = json.loads(json.dumps(made, allow_nan=False))["segments"]
    assert (read["speaker"], read["words"][0]["speaker"], read["avg_logprob"]) == ("B", "A", None)


def test_a_new_speaker_begins_a_cue_in_their_layout_too():
    made = transcript(spoken((" Hi", 0, 1, "A"), (" you", 1, 2, "B")), spoken((" too.", 2, 3, "B")))
    written = to_srt(made, SubtitleOptions(layout="openai"))
    assert [line for line in written.splitlines() if line.startswith("[")] == ["[A]: Hi", "[B]: you too."]


def test_lines_of_a_segment_stay_but_no_blank_ones():
    written = to_srt(transcript(segment(0, 1, "One.\n\n \nTwo.")), SubtitleOptions(layout="openai"))
    assert written == "1\n00:00:00,000 --> 00:00:01,000\nOne.\nTwo.\n\n"


def test_a_segment_without_words_among_others_is_one_word():
    for words in (None, ()):
        made = transcript(spoken((" Hi", 0, 1)), segment(1, 2, "you all", words=words))
        assert to_vtt(made, SubtitleOptions(layout="openai")) == "WEBVTT\n\n00:00.000 --> 00:02.000\nHi you all\n\n"
