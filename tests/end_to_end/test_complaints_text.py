"""Invented, doubled and missing text, in long recordings with noise, music and silence in them (`docs/quality.md`)."""

import itertools

import jiwer
import pytest
from talks import clip, joined, music, noise, quieter, silence, wav, words

from ifw import DecodeOptions, TranscribeOptions, VadOptions

SINGLES = [clip(f"en_single_{number:02d}.ogg") for number in range(12)]
DENSE = [clip(f"en_dense_clean_{number:02d}.ogg") for number in range(2)]
ENGLISH = DecodeOptions(language="en")
NO_VAD = TranscribeOptions(ENGLISH, VadOptions(enabled=False))
PAUSES = {
    "silence": silence,
    "noise": lambda duration_s: noise(duration_s, 0.02),
    "music": music,
}


def compared(talk, transcript):
    return jiwer.process_words(words(talk.text), words(transcript.text))


def transcribed(transcriber, talk, options=None):
    return transcriber.transcribe(wav(talk), options or TranscribeOptions(ENGLISH))


@pytest.fixture(scope="module")
def talk():
    """Three minutes, in seven windows or more."""
    pauses = itertools.cycle([silence(0.5), noise(6, 3e-3), silence(1.5), music(8), silence(0.3)])
    singles = [part for single in SINGLES for part in (next(pauses), single)]
    return joined(silence(10), DENSE[0], silence(0.5), DENSE[1], *singles, DENSE[0], DENSE[1], silence(15))


@pytest.fixture(scope="module")
def transcript(transcriber, talk):
    return transcribed(transcriber, talk)


@pytest.mark.parametrize("kind", list(PAUSES))
@pytest.mark.parametrize("pause_s", [1.5, 12.0])
def test_pauses_between_sentences_become_no_text(transcriber, kind, pause_s):
    pause = PAUSES[kind](pause_s)
    talk = joined(pause, SINGLES[1], pause, SINGLES[4], pause, SINGLES[5], pause, SINGLES[9], pause)
    transcript = transcribed(transcriber, talk)
    found = compared(talk, transcript)
    assert (found.insertions, found.deletions) == (0, 0), transcript.text
    assert found.substitutions <= 2, transcript.text
    assert len(transcript.segments) == 4
    for segment, sentence in zip(transcript.segments, talk.sentences, strict=True):
        assert abs(segment.start_s - sentence.start_s) < 0.5
        assert abs(segment.end_s - sentence.end_s) < 0.5


@pytest.mark.parametrize("kind", list(PAUSES))
def test_nothing_but_noise_is_no_text_and_no_warning(transcriber, kind):
    for options in (TranscribeOptions(), TranscribeOptions(vad=VadOptions(enabled=False))):
        transcript = transcribed(transcriber, PAUSES[kind](40), options)
        assert (transcript.segments, transcript.warnings) == ((), ())


def test_nothing_is_doubled_or_lost_where_windows_meet(talk, transcript):
    found = compared(talk, transcript)
    assert found.hits / len(words(talk.text).split()) > 0.95
    assert found.wer < 0.08
    true_pairs = set(itertools.pairwise(words(sentence.text) for sentence in talk.sentences))
    for pair in itertools.pairwise(words(segment.text) for segment in transcript.segments):
        assert pair[0] != pair[1] or pair in true_pairs, pair


def test_without_voice_detection_nothing_is_doubled_or_lost_either(transcriber):
    talk = joined(DENSE[0], silence(0.5), *SINGLES[:8], DENSE[1])
    found = compared(talk, transcribed(transcriber, talk, NO_VAD))
    assert found.hits / len(words(talk.text).split()) > 0.9
    assert found.wer < 0.12


def test_segments_are_sentences_and_not_windows(talk, transcript):
    assert abs(len(transcript.segments) / len(talk.sentences) - 1) < 0.15
    assert max(segment.end_s - segment.start_s for segment in transcript.segments) < 6
    starts = [segment.start_s for segment in transcript.segments]
    far = [sentence for sentence in talk.sentences if min(abs(start - sentence.start_s) for start in starts) > 0.5]
    assert len(far) <= len(talk.sentences) // 10


@pytest.mark.parametrize("by_db", [20, 30])
def test_a_quiet_voice_between_loud_ones_is_heard(transcriber, by_db):
    talk = joined(SINGLES[9], silence(1), quieter(DENSE[0], by_db), silence(1), SINGLES[8])
    found = compared(talk, transcribed(transcriber, talk))
    assert found.hits / len(words(talk.text).split()) > 0.9


def test_speech_for_which_nothing_is_written_is_a_warning(transcriber):
    options = TranscribeOptions(DecodeOptions(language="en", max_tokens=1))
    transcript = transcribed(transcriber, joined(silence(2), SINGLES[1]), options)
    assert transcript.segments == ()
    assert [warning.code for warning in transcript.warnings] == ["text_missing"]
