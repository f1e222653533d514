"""JSON as openai-whisper writes it, for programs that read that.

Source: openai/whisper v20250625, whisper/transcribe.py (the result) and whisper/utils.py (`WriteJSON`).
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from ifw.formats.times import to_ms
from ifw.types import Segment, Transcript, Word

WITHOUT_SPACES: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages in which openai-whisper's segments do not begin with a space."""

FRAMES_PER_S: Final = 100


def to_openai_json(transcript: Transcript) -> str:
    """Write one line of ASCII, without a line feed, as openai-whisper does."""
    return json.dumps(to_openai_dict(transcript), allow_nan=False)


def to_openai_dict(transcript: Transcript) -> dict[str, Any]:
    """Turn a transcript into what openai-whisper's `transcribe` returns.

    `words` and `speaker` are there only where they are known. `seek` is the frame (10 ms) in which the segment
    begins, because a transcript does not know its windows; `tokens` are those of the text, without timestamps.
    """
    segments = [_segment(segment) for segment in transcript.segments]
    return {
        "text": "".join(segment["text"] for segment in segments),
        "segments": segments,
        "language": transcript.language,
    }


def segment_fields(segment: Segment) -> dict[str, Any]:
    """What every segment has, in openai-whisper's JSON and in that of OpenAI's API; numbers not known are None."""
    return {
        "id": segment.id,
        "seek": int(segment.start_s * FRAMES_PER_S),
        "start": milliseconds(segment.start_s),
        "end": milliseconds(segment.end_s),
        "text": _spaced(segment),
        "tokens": list(segment.token_ids),
        "temperature": _finite(segment.temperature),
        "avg_logprob": _finite(segment.avg_logprob),
        "compression_ratio": _finite(segment.compression_ratio),
        "no_speech_prob": _finite(segment.no_speech_prob),
    }


def _segment(segment: Segment) -> dict[str, Any]:
    written = segment_fields(segment)
    if segment.words is not None:
        written["words"] = [_word(word) for word in segment.words]
    return written | _speaker(segment)


def _word(word: Word) -> dict[str, Any]:
    times = {"word": word.text, "start": milliseconds(word.start_s), "end": milliseconds(word.end_s)}
    return {**times, "probability": _finite(word.probability), **_speaker(word)}


def _speaker(item: Segment | Word) -> dict[str, str]:
    return {} if item.speaker is None else {"speaker": item.speaker}


def _spaced(segment: Segment) -> str:
    """The text with the space before it that its first word has, or that its language writes."""
    is_spaced = segment.words[0].text.startswith(" ") if segment.words else segment.language not in WITHOUT_SPACES
    return f" {segment.text}" if is_spaced and segment.text else segment.text


def milliseconds(time_s: float) -> float:
    """Seconds, in whole milliseconds."""
    return to_ms(time_s) / 1000


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
