"""Times, subtitles and memory, in long recordings with pauses in them (`docs/quality.md`)."""

import json
import math
import re
import subprocess
import sys
from itertools import pairwise

import av
import numpy as np
import pytest
from talks import clip, distance_s, joined, music, noise, silence, wav

from ifw import DecodeOptions, SubtitleOptions, TranscribeOptions, VadOptions
from ifw.constants import SAMPLE_RATE
from ifw.engine.request import TokenAttention
from ifw.engine.segments import WindowSegment
from ifw.engine.words import time_words
from ifw.formats import from_json, write
from ifw.pipeline.words import place_words
from ifw.speech.windows import Piece, Window
from ifw.types import SpeechSpan

WORDS = DecodeOptions(language="en", word_timestamps=True)
PLAIN = DecodeOptions(language="en")
CLOCK = r"(\d\d):(\d\d):(\d\d),(\d\d\d)"


@pytest.fixture(scope="module")
def talk():
    singles = [clip(f"en_single_{number:02d}.ogg") for number in (1, 4, 5, 7, 9)]
    pauses = [silence(15), noise(7, 3e-3), music(9), silence(4)]
    parts = [part for pause, single in zip(pauses, singles, strict=False) for part in (single, pause)]
    return joined(silence(12), *parts, singles[-1], silence(10), clip("en_dense_clean_00.ogg"))


@pytest.fixture(scope="module")
def transcript(transcriber, talk):
    return transcriber.transcribe(wav(talk), TranscribeOptions(WORDS))


def words_of(transcript):
    return [word for segment in transcript.segments for word in segment.words]


def test_every_segment_has_words_in_order_and_inside_of_it(transcript):
    for segment in transcript.segments:
        assert "".join(word.text for word in segment.words).strip() == segment.text
        assert segment.start_s == segment.words[0].start_s < segment.words[-1].end_s == segment.end_s
    assert all(word.start_s < word.end_s for word in words_of(transcript))
    assert all(before.end_s <= after.start_s for before, after in pairwise(words_of(transcript)))


def test_no_word_is_stretched_over_a_pause(talk, transcript):
    for word in words_of(transcript):
        assert word.end_s - word.start_s < 2
        assert max(distance_s(talk, word.start_s), distance_s(talk, word.end_s)) < 0.5, word


def test_no_first_word_is_stretched_over_a_pause_without_voice_detection(transcriber):
    talk = joined(silence(12), clip("en_single_01.ogg"), silence(15), clip("en_single_04.ogg"), silence(9))
    options = TranscribeOptions(WORDS, VadOptions(enabled=False))
    transcript = transcriber.transcribe(wav(talk), options)
    assert len(transcript.segments) == 2
    for segment, sentence in zip(transcript.segments, talk.sentences, strict=True):
        assert abs(segment.start_s - sentence.start_s) < 1
        assert max(word.end_s - word.start_s for word in segment.words) < 2


def test_no_segment_is_stretched_over_a_pause(transcriber, talk):
    transcript = transcriber.transcribe(wav(talk), TranscribeOptions(PLAIN))
    assert len(transcript.segments) == len(talk.sentences)
    for segment in transcript.segments:
        assert distance_s(talk, segment.start_s) < 0.5
        assert distance_s(talk, segment.end_s) < 0.5


@pytest.mark.parametrize(
    "text", [" In 2023, costs rose 5% to $1,200 (£950) & more — 12:30 🎉!", " 1 2 3", " ♪♪", " 2,5 °C"]
)
def test_numbers_and_symbols_are_words_with_times(transcriber, text):
    tokenizer = transcriber.checkpoint.tokenizer
    token_ids = tuple(tokenizer.encode(text))
    rng = np.random.default_rng(len(text))
    attention = TokenAttention(
        rng.standard_normal((len(token_ids) + 1, 200)).astype(np.float32), rng.random(len(token_ids)).astype(np.float32)
    )
    timed = time_words([WindowSegment(0.0, 4.0, token_ids, text.strip())], attention, tokenizer, "en")
    window = Window(0, np.zeros(4 * SAMPLE_RATE, np.float32), (Piece(0.0, 10.0, 4.0),), (SpeechSpan(10.0, 14.0),))
    (words,) = place_words(timed, window)
    assert "".join(word.text for word in words) == text
    assert [word.text for word in words] == re.findall(r"\s\S+", text) or len(words) > len(text.split())
    assert all(10 <= word.start_s < word.end_s <= 14 for word in words)


@pytest.mark.parametrize("vad", [True, False], ids=["vad", "no-vad"])
@pytest.mark.parametrize("timestamps", [True, False], ids=["timestamps", "no-timestamps"])
def test_audio_that_ends_within_a_word_has_an_end(transcriber, vad, timestamps):
    whole = clip("en_dense_clean_01.ogg")
    cut = type(whole)(whole.samples[: round(9.7 * SAMPLE_RATE)], whole.sentences)
    options = TranscribeOptions(DecodeOptions(language="en", timestamps=timestamps), VadOptions(enabled=vad))
    transcript = transcriber.transcribe(wav(cut), options)
    assert transcript.segments
    for segment in json.loads(write(transcript, "json"))["segments"]:
        assert segment["start_s"] < segment["end_s"] <= transcript.duration_s + 1e-3


def cues_of(srt):
    for block in srt.strip().split("\n\n"):
        number, times, *lines = block.split("\n")
        clock = [int(part) for part in re.fullmatch(f"{CLOCK} --> {CLOCK}", times).groups()]
        start_s, end_s = (3600 * h + 60 * m + s + ms / 1000 for h, m, s, ms in (clock[:4], clock[4:]))
        yield int(number), start_s, end_s, lines


@pytest.mark.parametrize(
    ("decode", "least"),
    [(WORDS, 16), (PLAIN, 16), (DecodeOptions(language="en", timestamps=False), 5)],
    ids=["words", "segments", "whole windows"],
)
def test_cues_can_be_read(transcriber, talk, decode, least):
    transcript = transcriber.transcribe(wav(talk), TranscribeOptions(decode))
    cues = list(cues_of(write(transcript, "srt")))
    assert [number for number, *_ in cues] == list(range(1, len(cues) + 1))
    assert len(cues) >= least
    for _, start_s, end_s, lines in cues:
        assert 1 <= len(lines) <= 2
        assert max(map(len, lines)) <= 42
        assert start_s < end_s
    for before, after in pairwise(cues):
        assert before[2] <= after[1]
        assert before[2] - before[1] > 0.79 or before[2] == after[1]
    assert " ".join(line for cue in cues for line in cue[3]).split() == transcript.text.split()


@pytest.mark.parametrize("name", ["srt", "vtt", "tsv", "txt", "json"])
def test_every_format_can_be_made_later(transcript, name):
    later = from_json(write(transcript, "json"))
    assert write(later, name) == write(transcript, name)
    narrow = SubtitleOptions(max_line_width=20, highlight_words=True)
    assert write(later, name, subtitles=narrow) == write(transcript, name, subtitles=narrow)


def test_the_command_line_gives_words_in_json(tmp_path):
    (tmp_path / "talk.wav").write_bytes(wav(joined(clip("en_single_01.ogg"), silence(3), clip("en_single_04.ogg"))))
    command = [sys.executable, "-m", "ifw", "transcribe", str(tmp_path / "talk.wav"), "--model", "demo", "--quiet"]
    options = ["--word_timestamps", "-f", "json", "-o", "-"]
    result = subprocess.run([*command, *options], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    segments = json.loads(result.stdout)["segments"]
    assert len(segments) == 2
    for segment in segments:
        assert " ".join(word["text"].strip() for word in segment["words"]) == segment["text"]
        assert all(math.isfinite(word[key]) for word in segment["words"] for key in ("start_s", "end_s", "probability"))


PEAK = """
import resource, sys
from ifw import DecodeOptions, TranscribeOptions, Transcriber, VadOptions
with Transcriber("demo", n_threads=1) as transcriber:
    options = TranscribeOptions(DecodeOptions(language="en"), VadOptions(enabled=False))
    transcriber.transcribe(sys.argv[1], options)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    transcript = transcriber.transcribe(sys.argv[2], options)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, transcript.duration_s, len(transcript.segments))
"""


def flac(path, duration_s, speech):
    """Silence with some speech at its end."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        minute = np.zeros(60 * SAMPLE_RATE, np.int16)
        for block in [minute] * round(duration_s / 60) + [(speech.samples * 32767).astype(np.int16)]:
            frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def test_a_long_file_needs_no_more_memory_than_a_short_one(tmp_path):
    """Two hours are 460 MB as float32, and 230 MB as int16."""
    speech = clip("en_single_01.ogg")
    paths = [flac(tmp_path / f"{minutes}.flac", 60 * minutes, speech) for minutes in (10, 120)]
    result = subprocess.run([sys.executable, "-c", PEAK, *paths], check=True, capture_output=True, text=True)
    grown_kb, duration_s, n_segments = map(float, result.stdout.split())
    assert duration_s > 7200
    assert n_segments == 1
    assert grown_kb < 100_000
