"""The result of a task in the formats that clients ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from ifw.config import SubtitleOptions
from ifw.errors import DiarizationError, EngineError
from ifw.formats import from_json, to_srt, to_tsv, to_txt, to_vtt
from ifw.formats.legacy import to_legacy_dict
from ifw.formats.openai_wire import diarized_response, verbose_response
from ifw.tasks import Task
from ifw.types import DIARIZATION_FAILED, Transcript

TranscriptFormat = Literal["json", "txt", "srt", "vtt", "tsv", "verbose_json", "diarized_json"]

MEDIA_TYPES: Final[Mapping[TranscriptFormat, str]] = MappingProxyType(
    {
        "json": "application/json",
        "txt": "text/plain; charset=utf-8",
        "srt": "application/x-subrip; charset=utf-8",
        "vtt": "text/vtt; charset=utf-8",
        "tsv": "text/tab-separated-values; charset=utf-8",
        "verbose_json": "application/json",
        "diarized_json": "application/json",
    }
)
"""Format -> content type."""
assert set(MEDIA_TYPES) == set(get_args(TranscriptFormat))

_PLAIN: Final[Mapping[str, Callable[[Transcript], str]]] = MappingProxyType({"txt": to_txt, "tsv": to_tsv})
_CUES: Final[Mapping[str, Callable[[Transcript, SubtitleOptions | None], str]]] = MappingProxyType(
    {"srt": to_srt, "vtt": to_vtt}
)


def written(result: str, name: TranscriptFormat, subtitles: SubtitleOptions) -> bytes:
    """Write the result of a task. Takes a while for a long one, so call it outside of the event loop.

    Args:
        result: As the store has it: the JSON of `ifw.formats.to_json`.
        name: Which format. `verbose_json` has words where they are known.
        subtitles: How the cues of srt and vtt are made.

    Raises:
        DiarizationError: `diarized_json` of a transcript in which nobody was told apart.
    """
    if name == "json":
        return _encoded(result)
    transcript = from_json(result)
    if name in _PLAIN:
        return _encoded(_PLAIN[name](transcript))
    if name in _CUES:
        return _encoded(_CUES[name](transcript, subtitles))
    if name == "verbose_json":
        has_words = any(segment.words for segment in transcript.segments)
        return json_bytes(verbose_response(transcript, {"segment", "word"} if has_words else {"segment"}))
    if transcript.turns is None and not all(segment.speaker for segment in transcript.segments):
        raise DiarizationError("format: got diarized_json, allowed: the others; nobody was told apart in this audio")
    return json_bytes(diarized_response(transcript))


def require_speakers(transcript: Transcript) -> None:
    """Refuse to go on with a transcript whose speakers could not be told apart, although somebody asked for that.

    Raises:
        EngineError: The message says why, for the log.
    """
    if transcript.turns is None:
        reasons = [warning.message for warning in transcript.warnings if warning.code == DIARIZATION_FAILED]
        raise EngineError("; ".join(reasons) or "the transcript has no speakers")


def legacy_output(task: Task, result: str) -> dict[str, Any]:
    """The result of a task as clients of the predecessor read it; outside of the event loop."""
    has_words = bool(task.payload["options"].get("word_timestamps"))
    return to_legacy_dict(from_json(result), words=has_words)


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """The body of a JSON reply; outside of the event loop where it may be long."""
    return _encoded(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
