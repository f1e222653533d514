"""Languages: who decides, on how much, and what cannot be asked for (`docs/quality.md`)."""

import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from talks import clip, joined, music, silence, wav

from ifw import DecodeOptions, TranscribeOptions, Transcriber, VadOptions
from ifw.errors import ModeError

DEMO = Path(str(files("ifw") / "demo"))


@pytest.fixture(scope="module")
def cut_down(tmp_path_factory):
    """The demo checkpoint as one that was never trained to translate, and that names no alignment heads."""
    folder = tmp_path_factory.mktemp("models") / "cut_down"
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("sample*"))
    path = folder / "generation_config.json"
    generation = json.loads(path.read_text(encoding="utf-8"))
    del generation["task_to_id"]["translate"]
    generation.pop("alignment_heads", None)
    path.write_text(json.dumps(generation), encoding="utf-8")
    return folder


def test_an_introduction_in_another_language_does_not_decide(transcriber):
    german = [clip(f"de_dense_clean_{number:02d}.ogg") for number in range(2)]
    talk = joined(clip("en_dense_clean_00.ogg"), silence(1), *german)
    transcript = transcriber.transcribe(wav(talk))
    assert transcript.language == "de"
    assert list(transcript.language_probabilities)[:2] == ["de", "en"]
    assert 0.5 < transcript.language_probability < 0.9


def test_music_before_the_speech_has_no_vote(transcriber):
    transcript = transcriber.transcribe(wav(joined(music(40), clip("es_dense_clean_00.ogg"))))
    assert (transcript.language, transcript.language_probability > 0.9) == ("es", True)


def test_each_language_of_a_long_file_is_written_as_it_is(transcriber):
    clips = {code: clip(f"{code}_dense_clean_00.ogg") for code in ("en", "de", "es")}
    talk = joined(*[part for each in clips.values() for part in (each, silence(2.5))])
    options = TranscribeOptions(DecodeOptions(multilingual=True), VadOptions(max_window_s=10.0))
    transcript = transcriber.transcribe(wav(talk), options)
    languages = [list(clips)[int(segment.start_s // 32.5)] for segment in transcript.segments]
    assert set(languages) == set(clips)
    wrong = [s for s, code in zip(transcript.segments, languages, strict=True) if s.language != code]
    assert all(min(abs(s.start_s - border_s) for border_s in (32.5, 65.0)) < 10 for s in wrong), "within one window"
    assert len(wrong) <= len(languages) / 6


def test_translating_with_a_checkpoint_that_cannot_is_one_error_before_any_work(cut_down, tmp_path):
    audio = tmp_path / "talk.wav"
    audio.write_bytes(wav(clip("de_single_00.ogg")))
    command = [sys.executable, "-m", "ifw", "transcribe", str(audio), "--model", str(cut_down), "--task", "translate"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (result.returncode != 0, result.stdout) == (True, "")
    assert "was never trained to translate; use 'tiny'" in result.stderr or "use 'large-v3'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_checkpoint_without_alignment_heads_has_word_times_too(cut_down):
    talk = joined(clip("en_single_01.ogg"), silence(3), clip("en_single_04.ogg"))
    with Transcriber(str(cut_down), n_threads=1) as transcriber:
        options = TranscribeOptions(DecodeOptions(language="en", word_timestamps=True))
        transcript = transcriber.transcribe(wav(talk), options)
        with pytest.raises(ModeError, match="was never trained to translate"):
            transcriber.stream(wav(talk), TranscribeOptions(DecodeOptions(mode="translate")))
    assert [word.text.strip() for segment in transcript.segments for word in segment.words] == transcript.text.split()
