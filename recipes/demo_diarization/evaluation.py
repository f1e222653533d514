"""Measures a diarizer on held-out voices: the error rate with the number of speakers given and without."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ifw.config import DiarizationOptions
from ifw.diarize.diarizer import Diarizer
from ifw.evaluation.speaker_errors import SpeakerErrors, count_speaker_errors

from .testset import Conversation, Kind
from .tuning import COLLAR_S

GOAL_GIVEN, GOAL_FOUND = 0.12, 0.20


@dataclass(frozen=True, slots=True)
class Row:
    """How one conversation went.

    Attributes:
        kind: What kind it is.
        given: The errors with the number of speakers given.
        found: The errors without.
        n_found: How many speakers were found without.
    """

    kind: Kind
    given: SpeakerErrors
    found: SpeakerErrors
    n_found: int


def evaluate(model: Path, conversations: Iterable[Conversation]) -> list[Row]:
    """Measure a diarizer, each conversation twice."""
    diarizer = Diarizer(model, device="cpu")
    rows = []
    for one in conversations:
        given = diarizer.diarize(one.samples, DiarizationOptions(num_speakers=one.kind.n_speakers))
        found = diarizer.diarize(one.samples)
        counted = [count_speaker_errors(one.turns, result.turns, COLLAR_S) for result in (given, found)]
        rows.append(Row(one.kind, counted[0], counted[1], len(found.speakers)))
    return rows


def table(rows: list[Row]) -> str:
    """The rates by kind, and over all kinds that the goals are about."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    groups = [(kind.name, [row for row in rows if row.kind == kind]) for kind in kinds]
    groups.append(("all with goals", [row for row in rows if row.kind.is_goal]))
    lines = [
        "| conversations | number | given: error rate | missed | false alarm | confused | not given | number right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, group in groups:
        given = sum((row.given for row in group), SpeakerErrors())
        found = sum((row.found for row in group), SpeakerErrors())
        right = sum(row.n_found == row.kind.n_speakers for row in group)
        parts = [second / (given.total_s or 1) for second in (given.missed_s, given.false_alarm_s, given.confused_s)]
        cells = [f"{given.rate or 0:.1%}", *(f"{part:.1%}" for part in parts), f"{found.rate or 0:.1%}"]
        lines.append(f"| {name} | {len(group)} | {' | '.join(cells)} | {right} of {len(group)} |")
    return "\n".join(lines)
