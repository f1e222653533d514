"""Speakers beside the text: labels, cut segments, failures that leave the text whole, cancellation, resumption."""

import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from scripted_diarizer import ScriptedDiarizer

from ifw import (
    AudioOptions,
    CancelToken,
    DecodeOptions,
    DiarizationOptions,
    JournalFile,
    TranscribeOptions,
    Transcriber,
)
from ifw import transcriber as transcriber_module
from ifw.audio import decode
from ifw.diarize.places import find_pipeline
from ifw.errors import CancelledError, EngineMemoryError
from ifw.pipeline import speakers
from ifw.pipeline.speaker_thread import SpeakerThread
from ifw.pipeline.speakers import SpeakerListener, place_turns
from ifw.types import SpeakerTurn

A, B = "SPEAKER_00", "SPEAKER_01"
ENGLISH = DecodeOptions(language="en")
OPTIONS = TranscribeOptions(ENGLISH, diarize=DiarizationOptions(max_speakers=2))
WORDS = TranscribeOptions(replace(ENGLISH, word_timestamps=True))
TURNS = ((0.0, 4.0, A), (4.0, 30.0, B), (30.0, 200.0, A))


@pytest.fixture
def diarize(transcriber, monkeypatch):
    """Lets the shared transcriber find what is scripted."""

    def use(*arguments, **values):
        scripted = ScriptedDiarizer(*arguments, **values)
        monkeypatch.setattr(transcriber, "_diarizer", scripted)
        return scripted

    return use


@pytest.fixture(scope="module")
def plain(transcriber, sample):
    return transcriber.transcribe(sample, WORDS)


def test_every_segment_and_word_has_its_speaker(transcriber, sample, diarize, plain):
    scripted = diarize(TURNS)
    transcript = transcriber.transcribe(sample, replace(OPTIONS, decode=WORDS.decode))
    assert scripted.options == [DiarizationOptions(max_speakers=2)]
    assert [item.id for item in transcript.segments] == list(range(len(transcript.segments)))
    for segment in transcript.segments:
        middle_s = (segment.start_s + segment.end_s) / 2
        assert segment.speaker == (B if 4.0 <= middle_s < 30.0 else A), segment
        assert {word.speaker for word in segment.words} == {segment.speaker}
    assert transcript.turns == scripted.turns
    assert transcript.speaker_embeddings == {A: (0.0,) * 4, B: (1.0,) * 4}
    assert transcript.text == plain.text
    assert [word.text for item in transcript.segments for word in item.words] == [
        word.text for item in plain.segments for word in item.words
    ]
    assert {"diarize", "diarize_wait", "attribute"} <= set(transcript.timings)
    assert plain.turns is None
    assert not {"diarize", "attribute"} & set(plain.timings)


def test_words_that_nobody_asked_for_are_not_shown(transcriber, sample, diarize, plain):
    diarize(TURNS)
    stream = transcriber.stream(sample, OPTIONS)
    streamed = list(stream)
    assert all(item.words is None for item in streamed)
    assert tuple(streamed) == stream.transcript.segments
    assert {item.speaker for item in streamed} == {A, B}
    cut = next(item for item in plain.segments if item.start_s < 4.0 < item.end_s)
    parts = [item.text for item in streamed if cut.start_s <= item.start_s < cut.end_s]
    assert len(parts) == 2
    assert " ".join(parts) == cut.text


def test_the_diarizer_hears_what_was_decoded(transcriber, sample, diarize):
    scripted = diarize(TURNS)
    transcriber.transcribe(sample, replace(OPTIONS, audio=AudioOptions(block_s=7.0)))
    np.testing.assert_array_equal(scripted.heard[0].samples, decode(sample).samples)


def test_of_two_at_once_the_one_who_is_heard_best_says_the_words(transcriber, sample, diarize):
    scripted = diarize([(0.0, 40.0, A), (40.0, 80.0, B)], overlapping=[(0.0, 80.0, B)])
    transcript = transcriber.transcribe(sample, OPTIONS)
    assert [item.speaker for item in transcript.segments if item.end_s < 40] == [
        A for item in transcript.segments if item.end_s < 40
    ]
    assert len(transcript.turns) == len(scripted.turns) + 1
    assert transcript.turns[1] == scripted.overlapping[0]


def test_transcription_is_not_far_ahead_of_a_slow_diarizer(transcriber, sample, diarize, monkeypatch):
    gate, ahead_s = threading.Event(), []
    scripted = diarize(TURNS, gate=gate)
    monkeypatch.setattr(speakers, "MAX_AHEAD_S", 20.0)
    wait_until = SpeakerThread.wait_until

    def open_gate(thread, is_enough):
        gate.set()
        wait_until(thread, is_enough)

    monkeypatch.setattr(SpeakerThread, "wait_until", open_gate)

    def on_progress(progress):
        if progress.stage == "decode":
            ahead_s.append(progress.done_s - sum(map(len, scripted.heard[0].blocks)) / 16_000)

    options = replace(OPTIONS, audio=AudioOptions(block_s=5.0))
    transcript = transcriber.transcribe(sample, options, on_progress=on_progress)
    assert 20.0 < max(ahead_s) <= 20.0 + 5.0 + 5.0, "the limit, the block that broke it, and the one that is heard"
    assert len(scripted.heard[0].samples) == round(transcript.duration_s * 16_000)


def test_diarization_has_all_threads_once_the_text_is_there(monkeypatch):
    gate = threading.Event()
    scripted = ScriptedDiarizer(TURNS, gate=gate)
    listener = SpeakerListener(scripted, OPTIONS, on_progress=lambda done_s: None, cancel=CancelToken(), n_threads=4)
    listener.start()
    try:
        gate.set()
        listener.feed(np.zeros(16_000, np.float32))
        listener._thread.wait_until(lambda: listener._thread.heard_s > 0)
        gate.clear()
        listener.feed(np.zeros(16_000, np.float32))
        listener.feed(None)
        wait_until = listener._thread.wait_until
        monkeypatch.setattr(listener._thread, "wait_until", lambda is_enough: (gate.set(), wait_until(is_enough)))
        listener.attribute([], None)
    finally:
        listener.close()
    assert scripted.n_threads == [3, 3, 4]


def test_of_a_clip_only_its_stretches_are_heard(transcriber, sample, diarize):
    scripted = diarize([(0.0, 7.0, A), (7.0, 14.0, B)])
    options = replace(OPTIONS, audio=AudioOptions(clip=((10.0, 16.0), (40.0, 48.0))))
    transcript = transcriber.transcribe(sample, options)
    assert len(scripted.heard[0].samples) == 14 * 16_000
    assert [(turn.start_s, turn.end_s, turn.speaker) for turn in transcript.turns] == [
        (10.0, 16.0, A),
        (40.0, 41.0, A),
        (41.0, 48.0, B),
    ]
    assert {item.speaker for item in transcript.segments if item.start_s < 16} == {A}
    assert {item.speaker for item in transcript.segments if item.start_s > 42} == {B}


def test_turns_of_a_clip_that_goes_on_to_the_end():
    turns = (SpeakerTurn(0.0, 3.0, A), SpeakerTurn(2.5, 9.0, B))
    placed = place_turns(turns, ((5.0, 7.0), (20.0, None)))
    assert [(turn.start_s, turn.end_s, turn.speaker) for turn in placed] == [
        (5.0, 7.0, A),
        (20.0, 21.0, A),
        (20.5, 27.0, B),
    ]
    assert place_turns(turns, ()) == turns


@pytest.mark.parametrize("fail_at_s", [0.0, 40.0, None])
@pytest.mark.parametrize(
    ("error", "message"),
    [(EngineMemoryError("no room"), "no room"), (ValueError("a bug"), "ValueError: a bug")],
)
def test_a_failure_keeps_the_text(transcriber, sample, diarize, plain, fail_at_s, error, message):  # noqa: PLR0917 - fixtures
    diarize(fail_at_s=fail_at_s, error=error)
    transcript = transcriber.transcribe(sample, OPTIONS)
    assert transcript.text == plain.text
    assert {item.speaker for item in transcript.segments} == {None}
    assert all(item.words is None for item in transcript.segments)
    (warning,) = transcript.warnings
    assert warning.code == "diarization_failed"
    assert warning.message.endswith(message)
    assert transcript.turns is None


def no_thread_listens():
    return not [thread for thread in threading.enumerate() if thread.name == "ifw-diarize"]


def test_cancelling_ends_the_thread(transcriber, sample, diarize):
    diarize(TURNS, gate=threading.Event())
    cancel = CancelToken()

    def on_progress(progress):
        if (progress.stage, progress.done_s) == ("transcribe", progress.total_s):
            threading.Thread(target=cancel.cancel).start()

    stream = transcriber.stream(sample, OPTIONS, on_progress=on_progress, cancel=cancel)
    with pytest.raises(CancelledError):
        list(stream)
    assert no_thread_listens()
    assert {item.speaker for item in stream.partial.segments} == {None}
    assert stream.partial.text
    assert [warning.code for warning in stream.partial.warnings] == ["interrupted"]


def test_an_error_of_the_audio_ends_the_thread(transcriber, diarize, sample):
    diarize(TURNS, gate=threading.Event())
    with pytest.raises(Exception, match="max_duration_s"):
        transcriber.transcribe(sample, replace(OPTIONS, audio=AudioOptions(max_duration_s=50.0, block_s=20.0)))
    assert no_thread_listens()


def test_a_stream_that_nobody_wants_any_more_is_freed(transcriber, sample, diarize):
    diarize(TURNS, gate=threading.Event())
    stop = []

    def on_progress(progress):
        stop.append(progress)
        if progress.stage == "transcribe":
            raise KeyboardInterrupt

    stream = transcriber.stream(sample, OPTIONS, on_progress=on_progress)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert no_thread_listens()


def test_progress_of_all_stages_comes_in_the_thread_of_the_caller(transcriber, sample, diarize):
    diarize(TURNS)
    seen, threads = [], set()

    def on_progress(progress):
        seen.append((progress.stage, progress.done_s))
        threads.add(threading.current_thread())

    transcript = transcriber.transcribe(sample, OPTIONS, on_progress=on_progress)
    heard = [done_s for stage, done_s in seen if stage == "diarize"]
    assert heard == sorted(set(heard))
    assert heard[-1] == transcript.duration_s
    assert threads == {threading.current_thread()}


def test_a_resumed_run_has_the_same_speakers(transcriber, sample, diarize, tmp_path):
    path = tmp_path / "journal"
    diarize(TURNS)
    whole = transcriber.transcribe(sample, OPTIONS)
    journal = JournalFile(path, is_resuming=False)
    diarize(error=EngineMemoryError("no room"))
    for _ in transcriber.stream(sample, OPTIONS, journal=journal):
        pass
    journal.close()
    diarize(TURNS)
    n_encoded = transcriber.stats().n_encoded
    journal = JournalFile(path, is_resuming=True)
    other = replace(OPTIONS, diarize=DiarizationOptions(num_speakers=2))
    resumed = transcriber.stream(sample, other, journal=journal)
    assert tuple(resumed) == whole.segments
    assert resumed.transcript.turns == whole.turns
    assert transcriber.stats().n_encoded == n_encoded, "the text came from the journal"
    journal.close()


@pytest.mark.parametrize(("asked", "dtype"), [("auto", torch.float32), ("bfloat16", torch.bfloat16)])
def test_speakers_are_told_apart_in_float32_unless_another_is_asked_for(monkeypatch, tmp_path, asked, dtype):
    """What `auto` is for the engine depends on the machine; the voices only where the pipeline says so."""
    monkeypatch.setattr(transcriber_module, "resolve_config", lambda config: replace(config, compute_type="bfloat16"))
    folder = shutil.copytree(find_pipeline("demo"), tmp_path / "pipeline")
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    del config["ifw"]["dtype"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with Transcriber("demo", "cpu", asked, n_slots=1, diarization_model=folder) as loaded:
        assert loaded.diarizer._listener._segmentation.lstm.weight_hh_l0.dtype == dtype
