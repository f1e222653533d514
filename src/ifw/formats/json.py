"""The whole transcript as JSON. `docs/formats.md` names every key; keys are added, never renamed or left out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from ifw.types import Segment, SpeakerTurn, Transcript, Word

TIME_DIGITS = 3  # milliseconds
SCORE_DIGITS = 6


def to_json(transcript: Transcript, *, indent: int | None = 2) -> str:
    """Write JSON that ends with a line feed.

    Args:
        transcript: What to write.
        indent: Spaces a level; None writes one line.
    """
    return json.dumps(to_dict(transcript), ensure_ascii=False, indent=indent, allow_nan=False) + "\n"


def to_dict(transcript: Transcript) -> dict[str, Any]:
    """Turn a transcript into values that JSON knows. Every key is always there; what is not known is None."""
    return {
        "text": transcript.text,
        "language": transcript.language,
        "language_probability": _number(transcript.language_probability, SCORE_DIGITS),
        "language_probabilities": {
            code: _number(probability, SCORE_DIGITS) for code, probability in transcript.language_probabilities.items()
        },
        "duration_s": _number(transcript.duration_s, TIME_DIGITS),
        "mode": transcript.mode,
        "model": transcript.model,
        "segments": [segment_dict(segment) for segment in transcript.segments],
        "turns": None if transcript.turns is None else [_turn(turn) for turn in transcript.turns],
        "speaker_embeddings": {
            speaker: _numbers(embedding) for speaker, embedding in transcript.speaker_embeddings.items()
        },
        "warnings": [{"code": warning.code, "message": warning.message} for warning in transcript.warnings],
        "timings": {stage: _number(wall_s, TIME_DIGITS) for stage, wall_s in transcript.timings.items()},
    }


def segment_dict(segment: Segment) -> dict[str, Any]:
    """Turn one segment into values that JSON knows, as in the transcript."""
    return {
        "id": segment.id,
        "start_s": _number(segment.start_s, TIME_DIGITS),
        "end_s": _number(segment.end_s, TIME_DIGITS),
        "text": segment.text,
        "speaker": segment.speaker,
        "language": segment.language,
        "words": None if segment.words is None else [_word(word) for word in segment.words],
        "token_ids": list(segment.token_ids),
        "token_logprobs": _numbers(segment.token_logprobs),
        "temperature": _number(segment.temperature, SCORE_DIGITS),
        "avg_logprob": _number(segment.avg_logprob, SCORE_DIGITS),
        "compression_ratio": _number(segment.compression_ratio, SCORE_DIGITS),
        "no_speech_prob": _number(segment.no_speech_prob, SCORE_DIGITS),
        "suspect": segment.suspect,
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "text": word.text,
        "start_s": _number(word.start_s, TIME_DIGITS),
        "end_s": _number(word.end_s, TIME_DIGITS),
        "probability": _number(word.probability, SCORE_DIGITS),
        "speaker": word.speaker,
    }


def _turn(turn: SpeakerTurn) -> dict[str, Any]:
    return {
        "start_s": _number(turn.start_s, TIME_DIGITS),
        "end_s": _number(turn.end_s, TIME_DIGITS),
        "speaker": turn.speaker,
    }


def _numbers(values: Sequence[float] | None) -> list[float | None] | None:
    return None if values is None else [_number(value, SCORE_DIGITS) for value in values]


def _number(value: float, digits: int) -> float | None:
    """Round; JSON has no infinity and no NaN."""
    return round(value, digits) if math.isfinite(value) else None
