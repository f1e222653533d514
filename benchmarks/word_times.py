"""How far the times of words are from the truth, end to end through `ifw transcribe --word-timestamps`.

The evaluation set holds sentences and voices that training never saw; espeak-ng, which speaks them, says when each word
starts and ends. Make it, then measure:

    python -m recipes.demo_model evalset --evalset-dir build/evalset
    python benchmarks/word_times.py build/evalset
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

LANGUAGES = ("en", "de", "es")
KINDS = ("single", "dense_clean", "dense_noisy", "long")
TARGET_S = 0.12

Edges = tuple[float, float]


def normalised(text: str) -> str:
    """Without case and punctuation."""
    return re.sub(r"[^\w'-]", "", text.lower())


def errors_of(entry: dict[str, Any], result: dict[str, Any]) -> list[Edges]:
    """Signed errors (start, end) of the words that were written as they were spoken."""
    spoken = entry["words"]
    heard = [word for segment in result["segments"] for word in segment["words"]]
    said, written = ([normalised(word["text"]) for word in words] for words in (spoken, heard))
    return [
        (heard[j + k]["start_s"] - spoken[i + k]["start_s"], heard[j + k]["end_s"] - spoken[i + k]["end_s"])
        for i, j, n in difflib.SequenceMatcher(None, said, written, autojunk=False).get_matching_blocks()
        for k in range(n)
    ]


def print_rows(name: str, n_spoken: int, errors: list[Edges]) -> None:
    """One row for starts, one for ends."""
    for edge, column in zip(("start", "end"), np.array(errors).T, strict=True):
        size = np.abs(column)
        print(
            f"| {name} | {len(errors)} of {n_spoken} | {edge} | {size.mean():.3f} s | {np.median(size):.3f} s "
            f"| {np.quantile(size, 0.95):.3f} s | {column.mean():+.3f} s |"
        )


def main() -> int:
    """Measure, print a table; the exit status says whether the target was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evalset", type=Path, help="folder with manifest.jsonl")
    parser.add_argument("--limit", type=int, help="at most this many files per language and kind")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="more flags for `ifw transcribe`")
    arguments = parser.parse_args()
    lines = (arguments.evalset / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    manifest = [json.loads(line) for line in lines]
    entries = [
        entry
        for language in LANGUAGES
        for kind in KINDS
        for entry in [e for e in manifest if (e["language"], e["kind"]) == (language, kind)][: arguments.limit]
    ]
    files = [str(arguments.evalset / entry["audio"]) for entry in entries]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ifw", "transcribe", "--model", "demo", "--word-timestamps", "--quiet"]
        subprocess.run([*command, "-f", "json", "-o", folder, *arguments.options, *files], check=True)
        results = [
            json.loads((Path(folder) / entry["audio"]).with_suffix(".json").read_text(encoding="utf-8"))
            for entry in entries
        ]
    print("| set | words found | edge | mean | median | 95% | bias |\n|---|---|---|---|---|---|---|")
    errors = [errors_of(entry, result) for entry, result in zip(entries, results, strict=True)]
    for name in (*LANGUAGES, *KINDS, "all"):
        chosen = [i for i, entry in enumerate(entries) if name in (entry["language"], entry["kind"], "all")]
        n_spoken = sum(len(entries[i]["words"]) for i in chosen)
        print_rows(name, n_spoken, [pair for i in chosen for pair in errors[i]])
    mean_s = float(np.abs(np.array([pair for pairs in errors for pair in pairs])).mean())
    print(f"\nmean absolute error of starts and ends: {mean_s:.3f} s, target at most {TARGET_S} s")
    return 0 if mean_s <= TARGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
