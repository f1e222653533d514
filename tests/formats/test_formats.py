"""What is written can be read back: parsers written here from the formats' own rules, not from the writers."""

import csv
import html
import io
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifw.formats import FORMATS, to_dict, to_json, to_srt, to_tsv, to_txt, to_vtt, write
from ifw.formats.cues import MIN_CUE_MS, to_cues
from ifw.formats.times import to_ms
from ifw.types import Segment, Transcript, TranscriptWarning, Word

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def segment(start_s, end_s, text, **changes):
    plain = Segment(
        id=0,
        start_s=start_s,
        end_s=end_s,
        text=text,
        token_ids=(1, 2),
        language="en",
        temperature=0.0,
        avg_logprob=-0.25,
        compression_ratio=1.2,
        no_speech_prob=0.01,
    )
    return replace(plain, **changes)


def transcript(*segments, **changes):
    numbered = tuple(replace(item, id=position) for position, item in enumerate(segments))
    plain = Transcript(
        text=" ".join(item.text for item in segments),
        segments=numbered,
        language="en",
        language_probability=0.99,
        duration_s=segments[-1].end_s if segments else 1.0,
        model="demo",
    )
    return replace(plain, **changes)


nasty = st.sampled_from(
    ["-->", "--->", "<i>", "&amp;", "&", "1", "00:00:01,000 --> 00:00:02,000", "\n\n", "\t", "\xa0"]
)
texts = st.lists(st.one_of(st.text(max_size=8), nasty), max_size=5).map(" ".join)


@st.composite
def transcripts(draw):
    hours = draw(st.sampled_from([0, 0, 1, 99, 120]))
    times = sorted(draw(st.lists(st.floats(0, 5000, allow_nan=False), min_size=2, max_size=8)))
    pairs = list(zip(times[::2], times[1::2], strict=False))
    return transcript(*(segment(hours * 3600 + start, hours * 3600 + end, draw(texts)) for start, end in pairs))


def parse_cues(body, point):
    """Blocks parted by blank lines; a time line, then text up to the next blank line."""
    clock = rf"(\d\d+):([0-5]\d):([0-5]\d){point}(\d\d\d)"
    cues = []
    for block in re.split(r"\n\n+", body.strip("\n")):
        time_line, *lines = block.split("\n")
        match = re.fullmatch(f"{clock} --> {clock}", time_line)
        assert match, time_line
        h1, m1, s1, f1, h2, m2, s2, f2 = map(int, match.groups())
        assert lines
        assert all(line.strip() for line in lines)
        assert "-->" not in "\n".join(lines)
        cues.append((((h1 * 60 + m1) * 60 + s1) * 1000 + f1, ((h2 * 60 + m2) * 60 + s2) * 1000 + f2, "\n".join(lines)))
    return cues


def parse_srt(written):
    blocks = [block for block in written.split("\n\n") if block]
    numbers = [int(block.split("\n", 1)[0]) for block in blocks]
    assert numbers == list(range(1, len(blocks) + 1))
    return parse_cues("\n\n".join(block.split("\n", 1)[1] for block in blocks), ",") if blocks else []


def parse_vtt(written):
    assert written.startswith("WEBVTT\n")
    body = written.removeprefix("WEBVTT\n").strip("\n")
    assert "<" not in body
    cues = parse_cues(body, r"\.") if body else []
    return [(start, end, html.unescape(text)) for start, end, text in cues]


def words_of(text):
    """The text without white space and without what an arrow is made of."""
    return "".join(text.split()).replace("-", "").replace(">", "")


@given(transcripts())
def test_srt_and_vtt_read_back_as_the_same_cues(made):
    spoken = [item for item in made.segments if item.text.strip()]
    from_srt, from_vtt = parse_srt(to_srt(made)), parse_vtt(to_vtt(made))
    assert from_srt == from_vtt
    assert [start for start, _, _ in from_srt] == [to_ms(item.start_s) for item in spoken]
    for (start_ms, end_ms, text), item in zip(from_srt, spoken, strict=True):
        assert end_ms > start_ms
        assert end_ms >= to_ms(item.end_s)
        assert abs(start_ms / 1000 - item.start_s) <= 0.0005 + 1e-9
        assert words_of(text) == words_of(item.text)


@given(transcripts())
def test_cues_are_lengthened_only_into_free_room(made):
    cues = to_cues(made.segments)
    spoken = [item for item in made.segments if item.text.strip()]
    for position, (cue, item) in enumerate(zip(cues, spoken, strict=True)):
        if cue.end_ms != to_ms(item.end_s):
            assert cue.end_ms <= cue.start_ms + MIN_CUE_MS
            if position + 1 < len(cues):
                assert cue.end_ms <= max(cues[position + 1].start_ms, cue.start_ms + 1)


@given(transcripts())
def test_tsv_reads_back_as_milliseconds_and_text(made):
    rows = list(csv.DictReader(io.StringIO(to_tsv(made), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    spoken = [item for item in made.segments if item.text.strip()]
    assert [(int(row["start"]), int(row["end"])) for row in rows] == [
        (to_ms(item.start_s), to_ms(item.end_s)) for item in spoken
    ]
    assert ["".join(row["text"].split()) for row in rows] == ["".join(item.text.split()) for item in spoken]


@given(transcripts())
def test_txt_has_one_line_a_segment(made):
    lines = to_txt(made).splitlines()
    spoken = [item for item in made.segments if item.text.strip()]
    assert ["".join(line.split()) for line in lines] == ["".join(item.text.split()) for item in spoken]


@given(transcripts())
def test_json_reads_back_as_the_whole_transcript(made):
    read = json.loads(to_json(made))
    assert read == to_dict(made)
    assert read["text"] == made.text
    for written, item in zip(read["segments"], made.segments, strict=True):
        assert written["text"] == item.text
        assert abs(written["start_s"] - item.start_s) <= 0.0005 + 1e-9
        assert written["token_ids"] == list(item.token_ids)


@pytest.mark.parametrize(
    ("time_s", "srt", "vtt"),
    [
        (0.0, "00:00:00,000", "00:00:00.000"),
        (59.9996, "00:01:00,000", "00:01:00.000"),
        (3599.9999, "01:00:00,000", "01:00:00.000"),
        (3661.001, "01:01:01,001", "01:01:01.001"),
        (99 * 3600 + 3599.9995, "100:00:00,000", "100:00:00.000"),
        (-0.01, "00:00:00,000", "00:00:00.000"),
    ],
)
def test_clock(time_s, srt, vtt):
    made = transcript(segment(time_s, time_s + 5, "x"))
    assert f"{srt} --> " in to_srt(made)
    assert f"{vtt} --> " in to_vtt(made)


def test_whole_files():
    made = transcript(
        segment(0.0, 1.5, "Tom & Ann say 1 < 2 --> true."), segment(1.5, 2.0, "Yes.\n\nNo.", speaker="SPEAKER_00")
    )
    assert to_srt(made) == (
        "1\n00:00:00,000 --> 00:00:01,500\nTom & Ann say 1 < 2 -> true.\n\n"
        "2\n00:00:01,500 --> 00:00:02,000\n[SPEAKER_00]: Yes.\nNo.\n"
    )
    assert to_vtt(made) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nTom &amp; Ann say 1 &lt; 2 -&gt; true.\n\n"
        "00:00:01.500 --> 00:00:02.000\n<v SPEAKER_00>Yes.\nNo.\n"
    )
    assert to_tsv(made) == "start\tend\ttext\n0\t1500\tTom & Ann say 1 < 2 --> true.\n1500\t2000\tYes. No.\n"
    assert to_txt(made) == "Tom & Ann say 1 < 2 --> true.\n[SPEAKER_00]: Yes. No.\n"


@pytest.mark.parametrize(
    ("name", "written"), [("txt", ""), ("srt", ""), ("vtt", "WEBVTT\n"), ("tsv", "start\tend\ttext\n")]
)
def test_silence_is_a_valid_file(name, written):
    assert write(transcript(), name) == written


def test_every_format_ends_its_last_line():
    made = transcript(segment(0.0, 1.0, "One."))
    for name in FORMATS:
        assert write(made, name).endswith("\n")


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv"])
@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_no_kind_of_line_end_breaks_a_line_format(name, line_end):
    made = transcript(segment(0.0, 1.0, f"a{line_end}{line_end}b"))
    plain = transcript(segment(0.0, 1.0, "a\nb"))
    assert write(made, name) == write(plain, name)


def test_speaker_labels_cannot_break_a_cue():
    made = transcript(segment(0.0, 1.0, "Hi.", speaker="A\n\n<b> --> B"))
    assert parse_srt(to_srt(made)) == [(0, 1000, "[A <b> -> B]: Hi.")]
    assert "<v A &lt;b&gt; -&gt; B>Hi." in to_vtt(made)


def test_a_cue_without_length_is_lengthened_up_to_the_next_one():
    made = [segment(1.0, 1.0, "a"), segment(1.03, 1.03, "b"), segment(1.03, 1.03, "c"), segment(9.0, 9.0, "d")]
    assert [(cue.start_ms, cue.end_ms) for cue in to_cues(made)] == [
        (1000, 1030),
        (1030, 1031),
        (1030, 1130),
        (9000, 9100),
    ]


def test_json_has_every_key_and_no_infinity():
    made = transcript(
        segment(
            0.0, 1.0, "Hi", avg_logprob=float("-inf"), words=(Word("Hi", 0.1, 0.5, 0.9, "A"),), suspect="repetition"
        ),
        segment(1.0, 2.0, "you", compression_ratio=float("nan")),
        warnings=(TranscriptWarning("audio_truncated", "The file ends early."),),
        timings={"total": 1.23456},
    )
    read = json.loads(to_json(made, indent=None))
    first, second = read["segments"]
    assert first["avg_logprob"] is None
    assert second["compression_ratio"] is None
    assert first["words"] == [{"text": "Hi", "start_s": 0.1, "end_s": 0.5, "probability": 0.9, "speaker": "A"}]
    assert first.keys() == second.keys()
    assert (second["words"], second["speaker"]) == (None, None)
    assert read["warnings"] == [{"code": "audio_truncated", "message": "The file ends early."}]
    assert read["timings"] == {"total": 1.235}


def test_json_follows_the_types():
    """Every field of the types is a key under its own name, so nothing is forgotten when a field is added."""
    made = to_dict(transcript(segment(0.0, 1.0, "Hi", words=(Word("Hi", 0.0, 1.0, 0.5),))))
    assert set(made) == set(Transcript.__dataclass_fields__)
    assert set(made["segments"][0]) == set(Segment.__dataclass_fields__)
    assert set(made["segments"][0]["words"][0]) == set(Word.__dataclass_fields__)


def test_one_line_of_json_where_asked_for():
    assert to_json(transcript(segment(0.0, 1.0, "a\nb")), indent=None).count("\n") == 1
