"""What is written can be read back: parsers written here from the formats' own rules, not from the writers."""

import csv
import html
import io
import itertools
import json
import re
import unicodedata
from dataclasses import replace

import av
import pytest
from hypothesis import given
from made_transcripts import segment, transcript, transcripts

from ifw import SubtitleOptions
from ifw.errors import ConfigError
from ifw.formats import FORMATS, to_dict, to_json, to_srt, to_tsv, to_txt, to_vtt, write
from ifw.formats.cues import to_cues
from ifw.formats.times import to_ms
from ifw.types import Segment, Transcript, TranscriptWarning, Word

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def parse_cues(body, point):
    """Blocks parted by blank lines; a time line, then text up to the next blank line."""
    hours = r"(\d\d+):" if point == "," else r"(?:(\d\d+):)?"
    clock = rf"{hours}([0-5]\d):([0-5]\d){point}(\d\d\d)"
    cues = []
    for block in re.split(r"\n\n+", body.strip("\n")):
        time_line, *lines = block.split("\n")
        match = re.fullmatch(f"{clock} --> {clock}", time_line)
        assert match, time_line
        h1, m1, s1, f1, h2, m2, s2, f2 = (int(number or 0) for number in match.groups())
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


def letters_of(text):
    """The text without white space and control characters."""
    return "".join(letter for letter in text if not letter.isspace() and unicodedata.category(letter) != "Cc")


def words_of(text):
    """The letters without what an arrow is made of."""
    return letters_of(text).replace("-", "").replace(">", "")


def demuxed(written, format_name):
    """The cues that FFmpeg finds."""
    with av.open(io.BytesIO(written.encode(errors="backslashreplace")), format=format_name) as container:
        packets = [packet for packet in container.demux() if packet.pts is not None]
    return [(packet.pts, packet.pts + packet.duration, bytes(packet).decode()) for packet in packets]


@given(transcripts())
def test_srt_and_vtt_read_back_as_the_same_cues(made):
    from_srt, from_vtt = parse_srt(to_srt(made)), parse_vtt(to_vtt(made))
    assert (
        from_srt
        == from_vtt
        == [(cue.start_ms, cue.end_ms, re.sub("-{2,}>", "->", cue.text)) for cue in to_cues(made.segments)]
    )
    assert words_of("".join(text for _, _, text in from_srt)) == words_of("".join(item.text for item in made.segments))
    spans = [(to_ms(item.start_s), to_ms(item.end_s)) for item in made.segments]
    for start_ms, end_ms, _ in from_srt:
        assert end_ms > start_ms
        assert any(start - 9 <= start_ms <= end + 9 for start, end in spans)
    for (_, end_ms, _), (start_ms, _, _) in itertools.pairwise(from_srt):
        assert end_ms <= start_ms


@given(transcripts())
def test_ffmpeg_finds_the_same_cues(made):
    made = transcript(*(replace(item, text=item.text.replace("\0", "")) for item in made.segments))
    times = [(cue.start_ms, cue.end_ms) for cue in to_cues(made.segments)]
    srt, vtt = demuxed(to_srt(made), "srt"), demuxed(to_vtt(made), "webvtt")
    assert [(start, end) for start, end, _ in srt] == times
    assert [(start, end) for start, end, _ in vtt] == times
    assert [text for _, _, text in srt] == [html.unescape(text) for _, _, text in vtt]


@given(transcripts())
def test_tsv_reads_back_as_milliseconds_and_text(made):
    rows = list(csv.DictReader(io.StringIO(to_tsv(made), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    spoken = [item for item in made.segments if letters_of(item.text)]
    assert [(int(row["start"]), int(row["end"])) for row in rows] == [
        (to_ms(item.start_s), to_ms(item.end_s)) for item in spoken
    ]
    assert ["".join(row["text"].split()) for row in rows] == [letters_of(item.text) for item in spoken]


@given(transcripts())
def test_txt_has_one_line_a_segment(made):
    lines = to_txt(made).splitlines()
    spoken = [item for item in made.segments if letters_of(item.text)]
    assert ["".join(line.split()) for line in lines] == [letters_of(item.text) for item in spoken]


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
        (0.0, "00:00:00,000", "00:00.000"),
        (59.9996, "00:01:00,000", "01:00.000"),
        (3599.9999, "01:00:00,000", "01:00:00.000"),
        (3661.001, "01:01:01,001", "01:01:01.001"),
        (99 * 3600 + 3599.9995, "100:00:00,000", "100:00:00.000"),
        (-0.01, "00:00:00,000", "00:00.000"),
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
        "2\n00:00:01,500 --> 00:00:02,300\n[SPEAKER_00]: Yes. No.\n\n"
    )
    assert to_vtt(made) == (
        "WEBVTT\n\n00:00.000 --> 00:01.500\nTom &amp; Ann say 1 &lt; 2 -> true.\n\n"
        "00:01.500 --> 00:02.300\n<v SPEAKER_00>Yes. No.\n\n"
    )
    assert to_tsv(made) == "start\tend\ttext\n0\t1500\tTom & Ann say 1 < 2 --> true.\n1500\t2000\tYes. No.\n"
    assert to_txt(made) == "Tom & Ann say 1 < 2 --> true.\n[SPEAKER_00]: Yes. No.\n"


@pytest.mark.parametrize(
    ("name", "written"), [("txt", ""), ("srt", ""), ("vtt", "WEBVTT\n\n"), ("tsv", "start\tend\ttext\n")]
)
def test_silence_is_a_valid_file(name, written):
    assert write(transcript(), name) == written


def test_every_format_ends_its_last_line():
    made = transcript(segment(0.0, 1.0, "One."))
    for name in FORMATS:
        assert write(made, name).endswith("\n") or name == "openai-json"


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv"])
@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_no_kind_of_line_end_breaks_a_line_format(name, line_end):
    made = transcript(segment(0.0, 1.0, f"a{line_end}{line_end}b"))
    plain = transcript(segment(0.0, 1.0, "a\nb"))
    assert write(made, name) == write(plain, name)


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv"])
@pytest.mark.parametrize("has_words", [False, True])
def test_text_cannot_command_a_terminal(name, has_words):
    text = "a\0b \x1b[2J\x07\x9b31m c\x7f"
    words = (Word(text, 0.0, 1.0, 0.5),) if has_words else None
    written = write(transcript(replace(segment(0.0, 1.0, text, speaker="A\x1b[2J"), words=words)), name)
    assert "a b" in written
    assert not any(unicodedata.category(letter) == "Cc" for letter in written if letter not in "\n\t")


def test_speaker_labels_cannot_break_a_cue():
    made = transcript(segment(0.0, 1.0, "Hi.", speaker="A\n\n<b> --> B"))
    assert parse_srt(to_srt(made)) == [(0, 1000, "[A <b> -> B]: Hi.")]
    assert "<v A &lt;b&gt; -&gt; B>Hi." in to_vtt(made)


def test_a_short_cue_is_lengthened_up_to_the_next_one():
    made = [segment(1.0, 1.0, "a"), segment(1.03, 1.03, "b"), segment(1.03, 1.03, "c"), segment(9.0, 9.0, "d")]
    times = [(1000, 1030), (1030, 1031), (1031, 1831), (9000, 9800)]
    assert [(cue.start_ms, cue.end_ms) for cue in to_cues(made)] == times
    unchanged = to_cues(made, SubtitleOptions(min_cue_s=None))
    assert [(cue.start_ms, cue.end_ms) for cue in unchanged] == [(1000, 1001), (1030, 1031), (1031, 1032), (9000, 9001)]


def test_cues_do_not_overlap_where_segments_do():
    made = [segment(0.0, 5.0, "a"), segment(2.0, 3.0, "b"), segment(1.0, 4.0, "c")]
    assert [(cue.start_ms, cue.end_ms) for cue in to_cues(made)] == [(0, 2000), (2000, 2001), (2001, 4000)]


def test_an_unknown_format_is_an_error():
    with pytest.raises(ConfigError, match="format_name: got 'ass', allowed: txt, srt"):
        write(transcript(), "ass")


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
