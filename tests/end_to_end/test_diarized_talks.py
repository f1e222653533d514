"""Who said what in talks, with the bundled models: what is odd about a talk is no reason to fail."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from ifw import AudioOptions, DecodeOptions, DiarizationOptions, TranscribeOptions, Transcriber
from ifw.audio import decode
from ifw.errors import ConfigError
from ifw.formats import FORMATS, from_json

RATE = 16_000
HELD_OUT = Path(__file__).parent.parent / "diarize" / "heldout"
DIALOGUE = Path(str(files("ifw") / "demo_diarizer" / "dialogue.mp3"))
OPTIONS = TranscribeOptions(DecodeOptions(language="en", word_timestamps=True), diarize=DiarizationOptions())


@pytest.fixture(scope="module")
def diarizing():
    torch.set_num_threads(1)
    with Transcriber("demo", "cpu", n_threads=1, diarization_model="demo") as shared:
        yield shared


@pytest.fixture(scope="module")
def talk():
    """The samples of a held-out conversation."""
    return {name: decode(HELD_OUT / f"{name}.ogg").samples for name in ("short", "alone", "four")}


@pytest.fixture
def wav(tmp_path):
    def write(*channels):
        path = tmp_path / "talk.wav"
        layout = {1: "mono", 2: "stereo"}[len(channels)]
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=RATE, layout=layout)
            data = (np.clip(np.stack(channels, axis=1), -1, 1) * 32_767).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout=layout)
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


def checked(transcript):
    """The transcript, after a look at all that must be so whatever was said."""
    labels = set(transcript.speaker_embeddings)
    assert not [warning for warning in transcript.warnings if warning.code == "diarization_failed"]
    assert [item.id for item in transcript.segments] == list(range(len(transcript.segments)))
    assert transcript.text == " ".join(item.text for item in transcript.segments)
    assert list(labels) == [] or "SPEAKER_00" in labels
    for turn in transcript.turns:
        assert 0 <= turn.start_s < turn.end_s <= transcript.duration_s
        assert turn.speaker in labels
    for one, other in pairwise(transcript.segments):
        assert one.start_s <= other.start_s
    for item in transcript.segments:
        assert item.speaker in {*labels, None}
        assert {word.speaker for word in item.words} <= {item.speaker, None}
    return transcript


def spoken_by(transcript):
    return [(item.speaker, item.text) for item in transcript.segments]


def words_of(transcript):
    return [word for item in transcript.segments for word in item.words]


def words_by(transcript):
    return [(word.speaker, word.text.strip(" ,.?")) for word in words_of(transcript)]


@pytest.mark.parametrize("level", [0.0, 1e-3])
def test_where_nobody_speaks_there_is_nobody(diarizing, wav, level):
    noise = level * np.random.RandomState(1).standard_normal(12 * RATE)
    transcript = checked(diarizing.transcribe(wav(noise), OPTIONS))
    assert (transcript.segments, transcript.turns, transcript.speaker_embeddings) == ((), (), {})


def test_one_who_speaks_alone_is_one(diarizing):
    transcript = checked(diarizing.transcribe(HELD_OUT / "alone.ogg", OPTIONS))
    assert {word.speaker for word in words_of(transcript)} == {"SPEAKER_00"}


@pytest.mark.parametrize("duration_s", [0.001, 0.1, 1.0])
def test_a_second_or_less(diarizing, wav, talk, duration_s):
    samples = talk["alone"][2 * RATE :][: round(duration_s * RATE)]
    checked(diarizing.transcribe(wav(samples), OPTIONS))


def test_more_speakers_than_there_may_be(diarizing):
    at_most = replace(OPTIONS, diarize=DiarizationOptions(max_speakers=2))
    transcript = checked(diarizing.transcribe(HELD_OUT / "four.ogg", at_most))
    assert {item.speaker for item in transcript.segments} == {"SPEAKER_00", "SPEAKER_01"}
    exactly = replace(OPTIONS, diarize=DiarizationOptions(num_speakers=4))
    transcript = checked(diarizing.transcribe(HELD_OUT / "four.ogg", exactly))
    assert len(transcript.speaker_embeddings) == 4


def test_all_the_time_two_at_once(diarizing, wav, talk):
    n_samples = min(len(talk["short"]), len(talk["alone"]))
    both = talk["short"][:n_samples] + talk["alone"][:n_samples]
    transcript = checked(diarizing.transcribe(wav(0.5 * both), OPTIONS))
    assert sum(one.end_s > other.start_s for one, other in pairwise(transcript.turns)) > 0


def test_silence_at_both_ends_only_moves_it(diarizing, wav, talk):
    plain = checked(diarizing.transcribe(wav(talk["short"]), OPTIONS))
    silence = np.zeros(round(7.5 * RATE), np.float32)  # three chunks later: the same stretches are heard
    later = checked(diarizing.transcribe(wav(np.concatenate([silence, talk["short"], silence])), OPTIONS))
    assert words_by(later) == words_by(plain)
    for one, other in zip(words_of(later), words_of(plain), strict=True):
        assert one.start_s - 7.5 == pytest.approx(other.start_s, abs=0.5)
    assert all(turn.start_s >= 7.4 and turn.end_s <= later.duration_s - 7.4 for turn in later.turns)


def test_a_stereo_call(diarizing, wav, talk):
    """One voice a side: told apart by channel without a model, or by voice with one."""
    n_samples = 10 * RATE
    left = np.concatenate([talk["alone"][:n_samples], np.zeros(n_samples, np.float32)])
    right = np.concatenate([np.zeros(n_samples, np.float32), talk["four"][:n_samples]])
    path = wav(left, right)
    with pytest.raises(ConfigError, match=r"diarize: got .*channels='split'"):
        replace(OPTIONS, audio=AudioOptions(channels="split"))
    split = diarizing.transcribe(path, replace(OPTIONS, audio=AudioOptions(channels="split"), diarize=None))
    assert {item.speaker for item in split.segments} == {"channel 1", "channel 2"}
    assert split.turns is None
    mixed = checked(diarizing.transcribe(path, OPTIONS))
    assert mixed.segments
    assert mixed.duration_s == 20.0


def test_translations_have_speakers_too(diarizing):
    spoken = diarizing.transcribe(HELD_OUT / "short.ogg", OPTIONS)
    translating = replace(OPTIONS, decode=DecodeOptions(language="es", mode="translate"))
    translated = diarizing.transcribe(HELD_OUT / "short.ogg", translating)
    assert translated.mode == "translate"
    assert {item.speaker for item in translated.segments} <= {item.speaker for item in spoken.segments} | {None}
    assert translated.turns == spoken.turns


def ifw(*arguments, **environment):
    command = [sys.executable, "-m", "ifw", "transcribe", "--model", "demo", "--threads", "1", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **environment}
    )


def test_the_command_writes_speakers_into_every_format(diarizing, tmp_path):
    copy = tmp_path / "other.mp3"
    copy.write_bytes(DIALOGUE.read_bytes())
    diarize = ("--diarize", "--diarization-model", "demo", "--num-speakers", "3", "--language", "en")
    formats = ("-f", "all", "-f", "openai-json", "-o", tmp_path / "out")
    result = ifw(DIALOGUE, copy, *diarize, *formats, "--print-timings")
    assert result.returncode == 0, result.stderr
    options = TranscribeOptions(DecodeOptions(language="en"), diarize=DiarizationOptions(num_speakers=3))
    expected = diarizing.transcribe(DIALOGUE, options)
    for stem in ("dialogue", "other"):
        texts = {name: (tmp_path / "out" / f"{stem}.{name}").read_text() for name in ("txt", "srt", "vtt", "json")}
        read = from_json(texts["json"])
        assert spoken_by(read) == spoken_by(expected)
        assert len(read.turns) == len(expected.turns)
        assert list(read.speaker_embeddings) == list(expected.speaker_embeddings)
        assert all(item.words is None for item in read.segments)
        assert texts["txt"].splitlines() == [f"[{item.speaker}]: {item.text}" for item in expected.segments]
        assert "[SPEAKER_01]: " in texts["srt"]
        assert "<v SPEAKER_01>" in texts["vtt"]
        written = json.loads((tmp_path / "out" / f"{stem}.openai.json").read_text())
        assert [item["speaker"] for item in written["segments"]] == [item.speaker for item in expected.segments]
    assert len(FORMATS) == 6
    timed = {line.split()[1] for line in result.stderr.splitlines() if line.startswith("timings:   ")}
    assert {"decode", "speech", "diarize", "diarize_wait", "attribute", "total"} <= timed


def test_a_model_that_is_not_there_ends_the_command_before_it_begins(tmp_path):
    missing = ifw(DIALOGUE, "--diarize", "--diarization-model", tmp_path / "nowhere", "-o", tmp_path / "out")
    assert missing.returncode == 3
    assert "[model_not_found]" in missing.stderr
    offline = ifw(DIALOGUE, "--diarize", "-o", tmp_path / "out", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hub"))
    assert offline.returncode == 3
    assert "pyannote/speaker-diarization-community-1" in offline.stderr
    assert "[model_offline]" in offline.stderr
    assert not list((tmp_path / "out").glob("*"))
