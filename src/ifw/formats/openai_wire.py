"""Transcripts as OpenAI's audio API answers them: `Transcript` -> values that JSON knows.

Source: OpenAI's OpenAPI document, `CreateTranscriptionResponseJson`, `...VerboseJson`, `...DiarizedJson` and
`CreateTranslationResponse...`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final, Literal

from ifw.formats.openai_json import milliseconds, segment_fields
from ifw.formats.openai_speakers import SpeakerNames
from ifw.model.languages import language_name
from ifw.types import Segment, Transcript

Granularity = Literal["word", "segment"]
TokenBytes = Callable[[Sequence[int]], bytes]
"""The UTF-8 bytes of text tokens, such as `WhisperTokenizer.decode_bytes`."""

_TRANSLATED: Final = "en"


def json_response(transcript: Transcript, token_bytes: TokenBytes | None = None) -> dict[str, Any]:
    """The response format `json`.

    Args:
        transcript: What to write.
        token_bytes: Adds the probabilities of the tokens, which the segments must have.

    Returns:
        The text and, of what was transcribed and not translated, the language and the seconds of audio.
    """
    if transcript.mode == "translate":
        return {"text": transcript.text}
    written: dict[str, Any] = {"text": transcript.text}
    if token_bytes is not None:
        written["logprobs"] = logprobs(transcript.segments, token_bytes)
    return {**written, "languages": languages(transcript), "usage": seconds_used(transcript)}


def text_response(transcript: Transcript) -> str:
    """The response format `text`: the whole text and a line feed."""
    return f"{transcript.text}\n"


def verbose_response(
    transcript: Transcript, granularities: Collection[Granularity] = frozenset({"segment"})
) -> dict[str, Any]:
    """The response format `verbose_json`.

    Args:
        transcript: What to write. Numbers of it that are not known become 0, because the API has none that are null.
        granularities: `word` adds the words; without `segment` there are no segments.
    """
    language = _TRANSLATED if transcript.mode == "translate" else transcript.language
    written: dict[str, Any] = {
        "task": transcript.mode,
        "language": language_name(language).lower(),
        "duration": milliseconds(transcript.duration_s),
        "text": transcript.text,
    }
    if "segment" in granularities:
        written["segments"] = [_segment(segment) for segment in transcript.segments]
    if "word" in granularities:
        written["words"] = [
            {"word": word.text.strip(), "start": milliseconds(word.start_s), "end": milliseconds(word.end_s)}
            for segment in transcript.segments
            for word in segment.words or ()
        ]
    return {**written, "usage": seconds_used(transcript)}


def diarized_response(
    transcript: Transcript, known_speakers: Mapping[str, str] = MappingProxyType({}), taken: Collection[str] = ()
) -> dict[str, Any]:
    """The response format `diarized_json`.

    Args:
        transcript: What to write, with speakers.
        known_speakers: Names of speakers by their labels; the others are called A, B, ...
        taken: Names that none of the others may have.
    """
    segments = diarized_segments(transcript, known_speakers, taken)
    turns = groupby(segments, key=lambda segment: segment["speaker"])
    return {
        "task": transcript.mode,
        "duration": milliseconds(transcript.duration_s),
        "text": "\n".join(f"{speaker}: {' '.join(one['text'] for one in group)}" for speaker, group in turns),
        "segments": segments,
        "usage": seconds_used(transcript),
    }


def diarized_segments(
    transcript: Transcript, known_speakers: Mapping[str, str], taken: Collection[str]
) -> list[dict[str, Any]]:
    """The segments of `diarized_json`, which are events of a stream too; see `diarized_response`."""
    return [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{number:03d}",
            "start": milliseconds(piece.start_s),
            "end": milliseconds(piece.end_s),
            "text": piece.text,
            "speaker": piece.speaker,
        }
        for number, piece in enumerate(SpeakerNames(known_speakers, taken).pieces(transcript.segments), start=1)
    ]


def languages(transcript: Transcript) -> list[dict[str, str]]:
    """The language of the text, as objects with a `code`; none where there is no text to tell it by."""
    return [{"code": transcript.language}] if transcript.text else []


def logprobs(segments: Sequence[Segment], token_bytes: TokenBytes) -> list[dict[str, Any]]:
    """The tokens of segments, each with its text, its bytes, and its natural-log probability.

    Args:
        segments: Those without `token_logprobs` are left out.
        token_bytes: The bytes of tokens; a character may be spread over several.
    """
    written = []
    for segment in segments:
        for token, logprob in zip(segment.token_ids, segment.token_logprobs or (), strict=False):
            data = token_bytes([token])
            known = logprob if math.isfinite(logprob) else None
            written.append({"token": data.decode(errors="replace"), "logprob": known, "bytes": list(data)})
    return written


def seconds_used(transcript: Transcript) -> dict[str, Any]:
    """How much audio was heard, in whole seconds, rounded up."""
    return {"type": "duration", "seconds": math.ceil(milliseconds(transcript.duration_s))}


def _segment(segment: Segment) -> dict[str, Any]:
    return {key: 0.0 if value is None else value for key, value in segment_fields(segment).items()}
