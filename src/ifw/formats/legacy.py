"""The output of the API that this one succeeds, for programs that read that.

Source: insanely-fast-whisper-api, whose chunks are those of the pipeline of transformers: their texts begin with the
space that Whisper writes, and the text of the whole is that of the chunks, joined without anything between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ifw.formats.openai_json import WITHOUT_SPACES
from ifw.formats.openai_speakers import UNKNOWN_SPEAKER
from ifw.formats.times import to_ms
from ifw.types import Segment, Transcript


class _Chunk(NamedTuple):
    start_s: float
    end_s: float
    text: str
    speaker: str | None


def to_legacy_dict(transcript: Transcript, *, words: bool = False) -> dict[str, Any]:
    """Turn a transcript into `{"text", "chunks", "speakers"}`.

    Args:
        transcript: What to write. Silence gives an empty text and no chunks.
        words: A chunk is a word, as far as word times are known; else a segment.

    Returns:
        `chunks` with `timestamp` ([start, end] in seconds, never null) and `text`; `speakers` has the same chunks with
        `speaker` in front, `unknown` where nobody was heard, and is empty where speakers were not told apart.
    """
    is_translated = transcript.mode == "translate"
    chunks = [chunk for segment in transcript.segments for chunk in _chunks(segment, words, is_translated)]
    has_speakers = transcript.turns is not None or any(chunk.speaker for chunk in chunks)
    return {
        "text": "".join(chunk.text for chunk in chunks),
        "chunks": [_written(chunk) for chunk in chunks],
        "speakers": [
            {"speaker": chunk.speaker or UNKNOWN_SPEAKER, **_written(chunk)} for chunk in chunks if has_speakers
        ],
    }


def _chunks(segment: Segment, words: bool, is_translated: bool) -> Iterator[_Chunk]:
    if words and segment.words:
        for word in segment.words:
            yield _Chunk(word.start_s, word.end_s, word.text, word.speaker or segment.speaker)
    elif segment.text:
        is_spaced = is_translated or segment.language not in WITHOUT_SPACES
        text = f" {segment.text}" if is_spaced else segment.text
        yield _Chunk(segment.start_s, segment.end_s, text, segment.speaker)


def _written(chunk: _Chunk) -> dict[str, Any]:
    return {"timestamp": [to_ms(chunk.start_s) / 1000, to_ms(chunk.end_s) / 1000], "text": chunk.text}
