"""Scores of files and sets, results as JSON and back, and the comparison of two runs."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from ifw.errors import EvaluationError
from ifw.evaluation import (
    ErrorCounts,
    Evaluation,
    Failure,
    FileScore,
    ManifestEntry,
    TimedText,
    TimeErrors,
    compare,
    read_results,
    results_json,
    score,
)
from ifw.evaluation.results import is_results
from ifw.types import Segment, Transcript, Word


def transcript(*texts, language="en", words=None):
    segments = tuple(
        Segment(i, float(i), i + 0.75, text, (), language, 0.0, -0.1, 1.0, 0.0, words=words)
        for i, text in enumerate(texts)
    )
    return Transcript(" ".join(texts), segments, language, 1.0, 12.0, timings={"total": 3.0})


def file_score(name, errors, n_words=10, reference="said"):
    return FileScore(
        name, "transcribe", "en", reference, "written", 1.0, 0.5, ErrorCounts(n_words, errors), ErrorCounts()
    )


def entry(text, **given):
    return ManifestEntry("a.wav", Path("a.wav"), text, **given)


def test_a_file_is_scored():
    scored = score(entry("It's twenty one.", language="en"), transcript("It is 21,", "no"))
    assert scored.words == ErrorCounts(3, 0, 0, 1)
    assert scored.characters == ErrorCounts(len("it is 21"), 0, 0, len(" no"))
    assert (scored.audio, scored.mode, scored.language) == ("a.wav", "transcribe", "en")
    assert (scored.reference, scored.hypothesis) == ("It's twenty one.", "It is 21, no")
    assert (scored.duration_s, scored.wall_s) == (12.0, 3.0)
    assert (scored.segment_times, scored.word_times) == (None, None)


@pytest.mark.parametrize(
    ("given", "written_language", "errors"),
    [
        ({"language": "de"}, "en", 2),  # as the manifest says: "twenty one" stays two words
        ({}, "en", 0),  # as the transcript says
        ({}, "de", 2),
        ({"language": "de", "mode": "translate"}, "de", 0),  # a translation is English
    ],
)
def test_texts_are_normalised_in_their_language(given, written_language, errors):
    assert score(entry("Twenty one", **given), transcript("21", language=written_language)).words.errors == errors


def test_times_are_scored_where_both_sides_have_them():
    true = (TimedText("Yes", 0.25, 0.5),)
    words = (Word(" yes", 0.0, 0.75, 1.0),)
    scored = score(entry("Yes", segments=true, words=true), transcript("Yes", words=words))
    assert scored.word_times == TimeErrors(1, (0.25,), (0.25,))
    assert scored.segment_times == TimeErrors(1, (0.25,), (0.25,))
    without = score(entry("Yes", segments=true, words=true), transcript("Yes"))
    assert without.word_times is None
    assert without.segment_times == TimeErrors(1, (0.25,), (0.25,))
    assert score(entry("Yes", words=true), transcript()).word_times == TimeErrors(1)


def test_totals_count_all_words():
    times = TimeErrors(2, (0.5,), (0.25,))
    files = (file_score("a", 1, 2), dataclasses.replace(file_score("b", 1, 8), word_times=times))
    evaluation = Evaluation(files, wall_s=0.5)
    assert evaluation.words.rate == 0.2
    assert (evaluation.audio_s, evaluation.speed) == (2.0, 4.0)
    assert (evaluation.word_times, evaluation.segment_times) == (times, None)
    assert Evaluation(()).speed is None
    assert Evaluation(()).words.rate is None


def full_evaluation():
    scored = score(
        entry("Yes or no", segments=(TimedText("Yes or no", 0.1, 0.2),), words=()), transcript("Yes", "oh", "no")
    )
    return Evaluation(
        (scored,), (Failure("b.wav", "translate", "audio_empty", "b.wav: empty"),), 1.5, {"model": "demo"}
    )


def test_results_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(results_json(full_evaluation()), encoding="utf-8")
    assert is_results(path)
    read = read_results(path)
    assert read.files[0].segment_times.starts_s == pytest.approx(full_evaluation().files[0].segment_times.starts_s)
    plain = dataclasses.replace(full_evaluation().files[0], segment_times=None)
    assert dataclasses.replace(read.files[0], segment_times=None) == plain
    assert (read.failures, read.wall_s, read.settings) == (full_evaluation().failures, 1.5, {"model": "demo"})
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["total"]["words"] == {"n_reference": 3, "substitutions": 1, "deletions": 0, "insertions": 0} | {
        "rate": pytest.approx(1 / 3)
    }
    assert document["total"]["speed"] == 8.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ('{"files": []}', "got ifw_evaluation None, allowed: 1"),
        ("[]", "got ifw_evaluation None"),
        ('{"ifw_evaluation": 2}', "got ifw_evaluation 2"),
        ('{"ifw_evaluation": 1, "files": [{}]}', "damaged at 'audio'"),
        ('{"ifw_evaluation": 1, "files": 5}', "damaged"),
    ],
)
def test_other_files_are_no_results(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(EvaluationError, match=f"x.json: {message}.*ifw eval --output"):
        read_results(tmp_path / "x.json")


def test_a_manifest_is_no_results(tmp_path):
    assert not is_results(tmp_path / "none.json")
    (tmp_path / "one.jsonl").write_text('{"audio": "a", "text": "b"}')
    assert not is_results(tmp_path / "one.jsonl")
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_results(tmp_path / "none.json")


def evaluation(*scores):
    return Evaluation(tuple(scores))


def test_the_files_that_both_have_are_compared():
    before = evaluation(file_score("a", 2), file_score("b", 4, 30), file_score("c", 0))
    after = evaluation(file_score("b", 1, 30), file_score("a", 3), file_score("d", 9))
    found = compare(before, after)
    assert [(pair.audio, pair.before.errors, pair.after.errors) for pair in found.pairs] == [("b", 4, 1), ("a", 2, 3)]
    assert (found.n_only_before, found.n_only_after) == (1, 1)
    assert found.pairs[0].difference == pytest.approx(-0.1)
    assert found.difference == pytest.approx((4 - 6) / 40)
    assert (found.before.errors, found.after.errors) == (6, 4)


def test_the_interval_is_that_of_normal_theory_where_files_are_many():
    rng = np.random.default_rng(1)
    earlier, later = rng.integers(0, 6, 400), rng.integers(0, 6, 400)
    before = evaluation(*(file_score(str(i), int(n)) for i, n in enumerate(earlier)))
    after = evaluation(*(file_score(str(i), int(n)) for i, n in enumerate(later)))
    low, high = compare(before, after).interval
    differences = (later - earlier) / 10
    half = 1.96 * differences.std() / math.sqrt(400)
    assert low == pytest.approx(differences.mean() - half, abs=0.03 * half)
    assert high == pytest.approx(differences.mean() + half, abs=0.03 * half)


def test_the_same_draws_serve_both_sides():
    """Files that differ much among themselves but by the same from run to run leave no doubt."""
    before = evaluation(*(file_score(str(i), i % 9) for i in range(60)))
    after = evaluation(*(file_score(str(i), i % 9 + 1) for i in range(60)))
    found = compare(before, after)
    assert found.interval == pytest.approx((0.1, 0.1))
    assert found.is_significant


def test_long_files_weigh_more():
    before = evaluation(file_score("a", 0, 990), file_score("b", 0, 10))
    found = compare(before, evaluation(file_score("a", 99, 990), file_score("b", 0, 10)))
    assert found.interval == (0.0, pytest.approx(0.1))
    assert not found.is_significant


def test_equal_runs_do_not_differ_and_chance_repeats_itself():
    same = evaluation(file_score("a", 1), file_score("b", 2))
    assert compare(same, same).interval == (0.0, 0.0)
    assert not compare(same, same).is_significant
    one, other = (evaluation(*(file_score(str(i), i * i % k, 10 + i) for i in range(40))) for k in (7, 11))
    assert compare(one, other).interval == compare(one, other).interval
    assert compare(one, other).interval != compare(one, other, seed=1).interval


def test_silent_files_give_no_rate_and_one_file_no_interval():
    silent = file_score("a", 2, 0)
    assert compare(evaluation(silent), evaluation(silent)).interval is None
    assert compare(evaluation(silent), evaluation(silent)).difference is None
    pair = evaluation(silent, file_score("b", 1))
    assert compare(pair, pair).interval is None
    assert compare(evaluation(silent, file_score("b", 1), file_score("c", 1)), pair).pairs[0].difference is None
    three = evaluation(silent, file_score("b", 1), file_score("c", 1))
    assert compare(three, three).interval == (0.0, 0.0)


def test_what_cannot_be_compared_is_an_error():
    with pytest.raises(EvaluationError, match="no file in common"):
        compare(evaluation(file_score("a", 1)), evaluation(file_score("b", 1)))
    with pytest.raises(EvaluationError, match="a: the text differs"):
        compare(evaluation(file_score("a", 1)), evaluation(file_score("a", 1, reference="else")))
