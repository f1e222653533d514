"""Manifests: what is read, and what is refused with the number of the line."""

import json
from pathlib import Path

import pytest

from ifw.errors import EvaluationError
from ifw.evaluation import ManifestEntry, TimedText, read_manifest

GOOD = {"audio": "a.wav", "text": "What was said."}


def written(tmp_path, *lines):
    path = tmp_path / "set.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_is_read(tmp_path):
    line = {
        "audio": "in/b.wav",
        "text": "Hallo.",
        "language": "German",
        "mode": "translate",
        "segments": [{"text": "Hallo.", "start_s": 0, "end_s": 1.5}],
        "words": [{"text": "Hallo", "start_s": 0.25, "end_s": 1.5, "speaker": "A"}],
        "dataset": "mine",
    }
    bare, full = read_manifest(written(tmp_path, "\ufeff" + json.dumps(GOOD), "  ", line, ""))
    assert bare == ManifestEntry("a.wav", tmp_path / "a.wav", "What was said.")
    assert full == ManifestEntry(
        "in/b.wav",
        tmp_path / "in/b.wav",
        "Hallo.",
        "de",
        "translate",
        (TimedText("Hallo.", 0.0, 1.5),),
        (TimedText("Hallo", 0.25, 1.5),),
    )


def test_an_absolute_path_stays_and_letters_survive_odd_line_ends(tmp_path):
    line = {"audio": "/data/a.wav", "text": "ein\u2028zwei"}
    (entry,) = read_manifest(written(tmp_path, json.dumps(line, ensure_ascii=False) + "\r"))
    assert (entry.path, entry.text) == (Path("/data/a.wav"), "ein\u2028zwei")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "got list, allowed: an object"),
        ({"text": "x"}, "audio: got None"),
        ({"audio": "", "text": "x"}, "audio: got ''"),
        ({"audio": "a\0", "text": "x"}, "audio: got"),
        ({"audio": "b.wav"}, "text: got None, allowed: text"),
        ({**GOOD, "audio": "b.wav", "text": 3}, "text: got 3"),
        ({**GOOD, "mode": "sing"}, "mode: got 'sing', allowed: transcribe, translate"),
        ({**GOOD, "mode": ["x"]}, "mode: got"),
        ({**GOOD, "language": "klingonisch"}, "language: got 'klingonisch'"),
        ({**GOOD, "language": 5}, "language: got 5"),
        (GOOD, "audio: got 'a.wav' again, allowed: once for each mode"),
        ({**GOOD, "words": "x"}, "words: got 'x', allowed: a list"),
        ({**GOOD, "words": ["x"]}, r"words\[0\]: got 'x'"),
        ({**GOOD, "words": [{"text": "x", "start_s": 1, "end_s": 0.5}]}, r"words\[0\]: got start_s 1, end_s 0.5"),
        ({**GOOD, "segments": [{"text": "x", "start_s": -1, "end_s": 0.5}]}, r"segments\[0\]: got start_s -1"),
        ({**GOOD, "segments": [{"text": "x", "start_s": 1}]}, r"segments\[0\]: got start_s 1, end_s None"),
        ({**GOOD, "segments": [{"text": "x", "start_s": True, "end_s": 2}]}, r"segments\[0\]: got start_s True"),
        ('{"audio": "b", "text": "", "words": [{"text": "x", "start_s": 0, "end_s": NaN}]}', r"words\[0\].* nan"),
        ({**GOOD, "segments": [{"text": "x", "start_s": 1, "end_s": float("inf")}]}, r"segments\[0\]: .* end_s inf"),
        ({**GOOD, "segments": [{"start_s": 1, "end_s": 2}]}, r"segments\[0\]\.text: got None"),
    ],
)
def test_a_bad_line_is_an_error_with_its_number(tmp_path, line, message):
    with pytest.raises(EvaluationError, match=f"set.jsonl, line 3: {message}"):
        read_manifest(written(tmp_path, GOOD, "", line))


def test_one_file_may_be_transcribed_and_translated(tmp_path):
    assert len(read_manifest(written(tmp_path, GOOD, {**GOOD, "mode": "translate"}))) == 2


@pytest.mark.parametrize("text", [b"", b"\n \n"])
def test_a_manifest_without_an_entry_is_an_error(tmp_path, text):
    (tmp_path / "set.jsonl").write_bytes(text)
    with pytest.raises(EvaluationError, match="got no entry"):
        read_manifest(tmp_path / "set.jsonl")


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(EvaluationError, match=r"none.jsonl: cannot be read: No such file"):
        read_manifest(tmp_path / "none.jsonl")
    (tmp_path / "bad.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(EvaluationError, match="no UTF-8"):
        read_manifest(tmp_path / "bad.jsonl")
