"""Sentences and voices that the demo checkpoint never trained on, through `ifw transcribe`.

The bounds are those of the whole evaluation set (`benchmarks/accuracy.py`), with room for the few files here.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import jiwer
import pytest

FOLDER = Path(__file__).parent / "heldout"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
MAX_WER = {"single": 0.06, "dense_clean": 0.08, "dense_noisy": 0.15}
MAX_TRANSLATED_WER = {"single": 0.08, "dense_clean": 0.12}


def run_ifw(folder, entries, *options):
    paths = [str(FOLDER / entry["file"]) for entry in entries]
    command = [sys.executable, "-m", "ifw", "transcribe", *paths, "--model", "demo", "--quiet"]
    subprocess.run([*command, "-f", "json", "-o", str(folder), *options], check=True, stdin=subprocess.DEVNULL)
    return {
        entry["file"]: json.loads((folder / entry["file"]).with_suffix(".json").read_text(encoding="utf-8"))
        for entry in entries
    }


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory):
    return run_ifw(tmp_path_factory.mktemp("transcribed"), MANIFEST)


@pytest.fixture(scope="module")
def translations(tmp_path_factory):
    entries = [entry for entry in MANIFEST if entry["kind"] in MAX_TRANSLATED_WER and entry["language"] != "en"]
    return run_ifw(tmp_path_factory.mktemp("translated"), entries, "--task", "translate")


def words(text):
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower()).split())


def word_error_rate(entries, results, key):
    references = [words(" ".join(segment[key] for segment in entry["segments"])) for entry in entries]
    return jiwer.wer(references, [words(results[entry["file"]]["text"]) for entry in entries])


def entries_of(kind, language):
    return [entry for entry in MANIFEST if (entry["kind"], entry["language"]) == (kind, language)]


@pytest.mark.parametrize("language", ["en", "de", "es"])
@pytest.mark.parametrize("kind", list(MAX_WER))
def test_unseen_speech_is_understood(transcripts, kind, language):
    entries = entries_of(kind, language)
    assert len(entries) >= 1
    assert word_error_rate(entries, transcripts, "text") <= MAX_WER[kind]


@pytest.mark.parametrize("language", ["de", "es"])
@pytest.mark.parametrize("kind", list(MAX_TRANSLATED_WER))
def test_unseen_speech_is_translated(translations, kind, language):
    assert word_error_rate(entries_of(kind, language), translations, "english") <= MAX_TRANSLATED_WER[kind]


def test_the_language_of_every_file_over_three_seconds_is_right(transcripts):
    long_enough = [entry for entry in MANIFEST if transcripts[entry["file"]]["duration_s"] > 3]
    assert len(long_enough) > 20
    assert {e["file"]: transcripts[e["file"]]["language"] for e in long_enough} == {
        e["file"]: e["language"] for e in long_enough
    }


def test_segments_start_where_the_sentences_do(transcripts):
    errors = []
    for entry in MANIFEST:
        for true in entry["segments"]:
            near = [abs(s["start_s"] - true["start_s"]) for s in transcripts[entry["file"]]["segments"]]
            errors.append(min(near, default=30.0))
    assert sum(errors) / len(errors) <= 0.25
