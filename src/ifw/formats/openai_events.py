"""The events of OpenAI's audio API, for answers that begin before the work has ended.

Source: OpenAI's OpenAPI document, `TranscriptTextDeltaEvent`, `TranscriptTextSegmentEvent`,
`TranscriptTextDoneEvent`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from ifw.constants import POSITION_S
from ifw.formats.openai_wire import TokenBytes, diarized_segments, languages, logprobs
from ifw.types import Segment, Transcript

KEEP_ALIVE: Final = ": \n\n"
"""A comment, which readers of events drop and which keeps a silent connection open."""


def delta_event(segment: Segment, token_bytes: TokenBytes | None = None) -> dict[str, Any]:
    """A segment has become final. The deltas joined, without anything between them, are the text of the transcript.

    Args:
        segment: With its place in the transcript: all but the first begin with a space.
        token_bytes: Adds the probabilities of the tokens, which the segment must have.
    """
    delta = segment.text if segment.id == 0 else f" {segment.text}"
    event: dict[str, Any] = {"type": "transcript.text.delta", "delta": delta}
    return event if token_bytes is None else {**event, "logprobs": logprobs([segment], token_bytes)}


def diarized_events(
    transcript: Transcript, known_speakers: Mapping[str, str] = MappingProxyType({}), taken: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """What is said of a transcript with speakers before its `done_event`: a delta and a segment for each segment.

    Args:
        transcript: All of it, as who speaks is known at the end.
        known_speakers: Names of speakers by their labels; the others are called A, B, ...
        taken: Names that none of the others may have.
    """
    for number, segment in enumerate(diarized_segments(transcript, known_speakers, taken)):
        delta = segment["text"] if number == 0 else f" {segment['text']}"
        yield {"type": "transcript.text.delta", "delta": delta, "segment_id": segment["id"]}
        yield segment


def done_event(transcript: Transcript, token_bytes: TokenBytes | None = None) -> dict[str, Any]:
    """The work has ended.

    Args:
        transcript: All of it.
        token_bytes: Adds the probabilities of the tokens, which the segments must have.
    """
    event: dict[str, Any] = {"type": "transcript.text.done", "text": transcript.text}
    if token_bytes is not None:
        event["logprobs"] = logprobs(transcript.segments, token_bytes)
    return {**event, "languages": languages(transcript), "usage": _tokens_used(transcript)}


def event_text(event: Mapping[str, Any]) -> str:
    """An event as a server sends it: ASCII, so that no reader takes a character for the end of a line."""
    return f"data: {json.dumps(event, allow_nan=False)}\n\n"


def _tokens_used(transcript: Transcript) -> dict[str, Any]:
    """Positions of audio, of which Whisper hears 50 a second, and tokens of text: this event knows no seconds."""
    n_audio = math.ceil(round(transcript.duration_s / POSITION_S, 3))
    n_text = sum(len(segment.token_ids) for segment in transcript.segments)
    return {
        "type": "tokens",
        "input_tokens": n_audio,
        "input_token_details": {"text_tokens": 0, "audio_tokens": n_audio},
        "output_tokens": n_text,
        "total_tokens": n_audio + n_text,
    }
