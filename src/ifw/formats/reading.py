"""A transcript back from JSON: from what `to_json` writes, and from what openai-whisper writes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ifw.errors import TranscriptError
from ifw.formats.fields import Fields
from ifw.types import Mode, Segment, SpeakerTurn, SuspectReason, Transcript, TranscriptWarning, Word


@dataclass(frozen=True, slots=True)
class _Keys:
    """What the two kinds of JSON call the same things."""

    start: str
    end: str
    word: str
    tokens: str


_OURS = _Keys("start_s", "end_s", "text", "token_ids")
_OPENAI = _Keys("start", "end", "word", "tokens")


def from_json(content: str | bytes) -> Transcript:
    """Read a transcript that was written as `json` or `openai-json`, or by openai-whisper itself.

    Keys that are not known are ignored, so that newer files can be read. What may be missing: everything but the
    segments with their times and text, and the language. A score that is missing or null becomes nan.

    Args:
        content: The whole file; bytes are UTF-8.

    Returns:
        The transcript, equal to the one that was written up to the rounding that `docs/formats.md` names.

    Raises:
        TranscriptError: It is no transcript, or a value is damaged; the message names its place.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        values = json.loads(text)
    except RecursionError:
        raise TranscriptError("got JSON that is nested too deeply, allowed: a transcript saved as json") from None
    except UnicodeDecodeError as error:
        raise TranscriptError(
            f"got bytes that are no UTF-8 ({error.reason}), allowed: a transcript saved as json"
        ) from error
    except ValueError as error:
        raise TranscriptError(f"got no JSON ({error}), allowed: one transcript saved as json") from error
    fields = Fields(values)
    if "segments" not in fields:
        raise TranscriptError(
            "got JSON without 'segments', allowed: a transcript saved as json by ifw or openai-whisper"
        )
    return _transcript(fields)


def _transcript(fields: Fields) -> Transcript:
    language = fields.get("language", str)
    segments = tuple(_segment(item, index, language) for index, item in enumerate(fields.objects("segments")))
    joined = " ".join(segment.text for segment in segments)
    last_s = max((segment.end_s for segment in segments), default=0.0)
    mode: Mode = fields.choice("mode", Mode, "transcribe")
    return Transcript(
        text=fields.get("text", str, joined).strip(),
        segments=segments,
        language=language,
        language_probability=fields.score("language_probability"),
        duration_s=fields.time_s("duration_s") if "duration_s" in fields else last_s,
        mode=mode,
        model=fields.get("model", str, ""),
        warnings=tuple(
            TranscriptWarning(item.get("code", str), item.get("message", str))
            for item in fields.objects("warnings", [])
        ),
        timings=fields.scores("timings"),
        language_probabilities=fields.scores("language_probabilities"),
        turns=tuple(_turn(item) for item in fields.objects("turns")) if fields.has_value("turns") else None,
        speaker_embeddings=_embeddings(fields),
    )


def _turn(fields: Fields) -> SpeakerTurn:
    start_s = fields.time_s("start_s")
    return SpeakerTurn(start_s, fields.time_s("end_s", start_s), fields.get("speaker", str))


def _embeddings(fields: Fields) -> dict[str, tuple[float, ...]]:
    if not fields.has_value("speaker_embeddings"):
        return {}
    embeddings = fields.get("speaker_embeddings", dict)
    by_speaker = Fields(embeddings, fields.place("speaker_embeddings"))
    return {speaker: by_speaker.numbers(speaker) for speaker in embeddings}


def _segment(fields: Fields, index: int, language: str) -> Segment:
    keys = _OURS if "start_s" in fields or "start" not in fields else _OPENAI
    start_s = fields.time_s(keys.start)
    suspect: SuspectReason | None = fields.choice("suspect", SuspectReason, None)
    return Segment(
        id=fields.get("id", int, index),
        start_s=start_s,
        end_s=fields.time_s(keys.end, start_s),
        text=fields.get("text", str).strip(),
        token_ids=fields.integers(keys.tokens),
        language=fields.get("language", str, language),
        temperature=fields.score("temperature"),
        avg_logprob=fields.score("avg_logprob"),
        compression_ratio=fields.score("compression_ratio"),
        no_speech_prob=fields.score("no_speech_prob"),
        suspect=suspect,
        words=_words(fields, keys),
        speaker=fields.optional_text("speaker"),
        token_logprobs=fields.numbers("token_logprobs") if fields.has_value("token_logprobs") else None,
    )


def _words(fields: Fields, keys: _Keys) -> tuple[Word, ...] | None:
    if not fields.has_value("words"):
        return None
    return tuple(_word(item, keys) for item in fields.objects("words"))


def _word(fields: Fields, keys: _Keys) -> Word:
    start_s = fields.time_s(keys.start)
    end_s = fields.time_s(keys.end, start_s)
    text, speaker = fields.get(keys.word, str), fields.optional_text("speaker")
    return Word(text, start_s, end_s, fields.score("probability"), speaker)
