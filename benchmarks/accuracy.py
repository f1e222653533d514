"""Word error rates of the demo checkpoint, end to end through `ifw transcribe`.

The evaluation set holds sentences and voices that training never saw. Make it, then score it:

    python -m recipes.demo_model evalset --evalset-dir build/evalset
    python benchmarks/accuracy.py build/evalset
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer

LANGUAGES = ("en", "de", "es")
SPOKEN_KINDS = ("single", "dense_clean", "dense_noisy", "long")
LANGUAGE_MIN_S = 3.0  # shorter files need not reveal their language


@dataclass(frozen=True, slots=True)
class Scored:
    """One file: what was said, what was written."""

    entry: dict[str, Any]
    result: dict[str, Any]

    @property
    def duration_s(self) -> float:
        """Length of the audio."""
        return float(self.result["duration_s"])


def normalise(text: str) -> str:
    """Drop case and punctuation."""
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower()).split())


def transcribe(files: list[Path], output: Path, *options: str) -> None:
    """Run the command line on all files at once; files that fail end the benchmark."""
    command = [sys.executable, "-m", "ifw", "transcribe", *map(str, files), "--quiet"]
    subprocess.run([*command, "-f", "json", "-o", str(output), *options], check=True)


def score(folder: Path, entries: list[dict[str, Any]], *options: str) -> list[Scored]:
    """Transcribe the files of a manifest and pair each with its reference."""
    with tempfile.TemporaryDirectory() as name:
        output = Path(name)
        transcribe([folder / entry["file"] for entry in entries], output, *options)
        return [
            Scored(entry, json.loads((output / Path(entry["file"]).with_suffix(".json").name).read_text()))
            for entry in entries
        ]


def word_errors(scored: list[Scored], key: str) -> float:
    """Word error rate of a group, over all its words."""
    references = [normalise(" ".join(segment[key] for segment in item.entry["segments"])) for item in scored]
    return float(jiwer.wer(references, [normalise(item.result["text"]) for item in scored]))


def start_errors(item: Scored) -> list[float]:
    """Distance of each true start to the start of the written segment that overlaps it most."""
    errors = []
    for true in item.entry["segments"]:
        written = [
            (min(segment["end_s"], true["end_s"]) - max(segment["start_s"], true["start_s"]), segment["start_s"])
            for segment in item.result["segments"]
        ]
        overlap, start_s = max(written, default=(0.0, 0.0))
        if overlap > 0.5 * (true["end_s"] - true["start_s"]):
            errors.append(abs(start_s - true["start_s"]))
    return errors


def print_worst(group: list[Scored], key: str, n_worst: int) -> None:
    """Print the files with the most errors, reference above hypothesis."""
    ranked = sorted(group, key=lambda item: -word_errors([item], key))
    for item in ranked[:n_worst]:
        reference = normalise(" ".join(segment[key] for segment in item.entry["segments"]))
        if reference != normalise(item.result["text"]):
            print(f"    {item.entry['file']}\n      - {reference}\n      + {normalise(item.result['text'])}")


def report_speech(folder: Path, spoken: list[dict[str, Any]], flags: tuple[str, ...], n_worst: int) -> None:
    """Print word error rates, language and timing by kind and language."""
    groups: dict[tuple[str, str], list[Scored]] = defaultdict(list)
    for item in score(folder, spoken, *flags):
        groups[item.entry["kind"], item.entry["language"]].append(item)
    print("| kind | language | files | WER | language right (files over 3 s) | segment start MAE |")
    print("|---|---|---|---|---|---|")
    for (kind, language), group in groups.items():
        long_enough = [item for item in group if item.duration_s > LANGUAGE_MIN_S]
        n_right = sum(item.result["language"] == language for item in long_enough)
        starts = [error for item in group for error in start_errors(item)]
        mean_start = f"{sum(starts) / len(starts):.3f} s" if starts else "-"
        wer = word_errors(group, "text")
        print(f"| {kind} | {language} | {len(group)} | {wer:.1%} | {n_right}/{len(long_enough)} | {mean_start} |")
        print_worst(group, "text", n_worst)


def report_translation(folder: Path, spoken: list[dict[str, Any]], flags: tuple[str, ...], n_worst: int) -> None:
    """Print word error rates of German and Spanish speech written in English."""
    for language in ("de", "es"):
        entries = [entry for entry in spoken if entry["language"] == language and entry["kind"] != "dense_noisy"]
        groups: dict[str, list[Scored]] = defaultdict(list)
        for item in score(folder, entries, *flags, "--task", "translate"):
            groups[item.entry["kind"]].append(item)
        for kind, group in groups.items():
            print(f"| {kind} | {language} to en | {len(group)} | {word_errors(group, 'english'):.1%} | - | - |")
            print_worst(group, "english", n_worst)


def report_silence(folder: Path, silent: list[dict[str, Any]], flags: tuple[str, ...]) -> None:
    """Print what was written for files without speech, with the voice detector on and off."""
    for option in ("--vad", "--no-vad"):
        for item in score(folder, silent, *flags, option):
            print(f"| {item.entry['file']} | {option} | text: {item.result['text']!r} |")


def main() -> None:
    """Score an evaluation set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="evaluation set with a manifest.json")
    parser.add_argument("--model", default="demo", help="any checkpoint that knows the demo's languages")
    parser.add_argument("--compute-type", default="auto", help="as of ifw transcribe")
    parser.add_argument("--worst", type=int, default=0, help="print this many wrong files of each group")
    arguments = parser.parse_args()
    manifest = json.loads((arguments.folder / "manifest.json").read_text())
    spoken = [entry for entry in manifest if entry["kind"] in SPOKEN_KINDS]
    flags = ("--model", arguments.model, "--compute-type", arguments.compute_type)
    report_speech(arguments.folder, spoken, flags, arguments.worst)
    report_translation(arguments.folder, spoken, flags, arguments.worst)
    report_silence(arguments.folder, [entry for entry in manifest if entry not in spoken], flags)


if __name__ == "__main__":
    main()
