"""How good a transcript is: error rates, time errors, two runs compared. Needs the extra `eval`; no torch, no audio.

entries = read_manifest(Path("testset.jsonl"))
scores = [score(entry, transcriber.transcribe(entry.path)) for entry in entries]
evaluation = Evaluation(tuple(scores))
evaluation.words.rate  # word error rate over all files
"""

from __future__ import annotations

from ifw.evaluation.comparison import Comparison, FilePair, compare
from ifw.evaluation.error_counts import ErrorCounts, count_character_errors, count_word_errors
from ifw.evaluation.manifest import ManifestEntry, TimedText, read_manifest
from ifw.evaluation.normaliser import Normaliser
from ifw.evaluation.results import read_results, results_json
from ifw.evaluation.scores import Evaluation, Failure, FileScore, score
from ifw.evaluation.time_errors import TimeErrors, segment_time_errors, word_time_errors

__all__ = [
    "Comparison",
    "ErrorCounts",
    "Evaluation",
    "Failure",
    "FilePair",
    "FileScore",
    "ManifestEntry",
    "Normaliser",
    "TimeErrors",
    "TimedText",
    "compare",
    "count_character_errors",
    "count_word_errors",
    "read_manifest",
    "read_results",
    "results_json",
    "score",
    "segment_time_errors",
    "word_time_errors",
]
