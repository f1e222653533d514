"""Several languages in one file, with the demo checkpoint."""

import json
from pathlib import Path

import numpy as np
import pytest

from ifw import DecodeOptions, TranscribeOptions, VadOptions
from ifw.audio import decode

HELDOUT = Path(__file__).parent.parent / "end_to_end" / "heldout"
NAMES = [f"{language}_single_{number:02d}" for language in ("en", "de", "es") for number in (0, 1)]
SHORT = VadOptions(max_window_s=5.0)


@pytest.fixture(scope="module")
def mixed(make_wav):
    pause = np.zeros(16_000, dtype=np.float32)
    parts = [part for name in NAMES for part in (decode(HELDOUT / f"{name}.ogg").samples, pause)]
    return make_wav("mixed", np.concatenate(parts))


def spoken():
    entries = json.loads((HELDOUT / "manifest.json").read_text(encoding="utf-8"))
    by_file = {entry["file"]: (entry["language"], entry["segments"][0]["text"]) for entry in entries}
    return [by_file[f"{name}.ogg"] for name in NAMES]


def test_each_window_is_written_in_its_own_language(transcriber, mixed):
    transcript = transcriber.transcribe(mixed, TranscribeOptions(DecodeOptions(multilingual=True), SHORT))
    assert [(segment.language, segment.text) for segment in transcript.segments] == spoken()
    assert transcript.language == "en", "most speech"
    assert list(transcript.language_probabilities) == ["en", "es", "de"], "by how much is spoken in each"


def test_otherwise_one_language_is_for_all(transcriber, mixed):
    transcript = transcriber.transcribe(mixed, TranscribeOptions(vad=SHORT))
    assert {segment.language for segment in transcript.segments} == {transcript.language}
    likeliest = next(iter(transcript.language_probabilities))
    assert transcript.language_probabilities[likeliest] == transcript.language_probability
    assert (likeliest, len(transcript.language_probabilities)) == (transcript.language, 3)


@pytest.mark.parametrize("timestamps", [True, False])
def test_the_text_begins_with_the_prefix(transcriber, mixed, timestamps):
    options = DecodeOptions(language="en", prefix="Hello Anna,", timestamps=timestamps)
    first = next(transcriber.stream(mixed, TranscribeOptions(options, SHORT)))
    assert first.text.startswith("Hello Anna,")
    assert len(first.text) > len("Hello Anna,.")
    assert transcriber.checkpoint.tokenizer.decode(first.token_ids).strip() == first.text
