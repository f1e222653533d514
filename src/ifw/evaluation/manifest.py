"""What to evaluate on: a manifest, one JSON object a line, that says what each audio file should give.

    {"audio": "a.wav", "text": "What was said.", "language": "en", "mode": "transcribe",
     "segments": [{"text": "What was said.", "start_s": 0.4, "end_s": 1.5}],
     "words": [{"text": "What", "start_s": 0.4, "end_s": 0.7}]}

`audio` and `text` are needed, the rest is not; keys of any other name are for others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, cast, get_args

from ifw.errors import EvaluationError, LanguageError
from ifw.model.languages import normalise_language
from ifw.types import Mode


@dataclass(frozen=True, slots=True)
class TimedText:
    """A true word or segment."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """What one audio file should give.

    Attributes:
        audio: As the manifest names it.
        path: Where it is.
        text: What a perfect transcript says; empty where nobody speaks.
        language: ISO code of what is spoken, None where the manifest does not say.
        mode: Whether `text` is in the spoken language or in English.
        segments: True times of segments, None where the manifest has none.
        words: True times of words, None where the manifest has none.
    """

    audio: str
    path: Path
    text: str
    language: str | None = None
    mode: Mode = "transcribe"
    segments: tuple[TimedText, ...] | None = None
    words: tuple[TimedText, ...] | None = None


def read_manifest(path: Path) -> list[ManifestEntry]:
    """Read a manifest. Empty lines are left out.

    Args:
        path: The manifest; audio is looked for from its folder.

    Raises:
        EvaluationError: It cannot be read, has no entry, names a file twice for one mode, or has a line that is no
            entry; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path}: no UTF-8 text, allowed: a manifest, one JSON object a line") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EvaluationError(f"{path}: cannot be read: {reason or error}") from error
    entries: dict[tuple[str, Mode], ManifestEntry] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                entry = _entry(_parsed(line), path.parent)
                if (entry.audio, entry.mode) in entries:
                    raise EvaluationError(f"audio: got {entry.audio!r} again, allowed: once for each mode")
            except (EvaluationError, LanguageError) as error:
                raise EvaluationError(f"{path}, line {number}: {error}") from error
            entries[entry.audio, entry.mode] = entry
    if not entries:
        raise EvaluationError(f"{path}: got no entry, allowed: one JSON object a line, such as {_EXAMPLE}")
    return list(entries.values())


_EXAMPLE = '{"audio": "a.wav", "text": "What was said."}'


def _parsed(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"no JSON: {error}; allowed: {_EXAMPLE}") from error
    if not isinstance(value, dict):
        raise EvaluationError(f"got {type(value).__name__}, allowed: an object such as {_EXAMPLE}")
    return value


def _entry(line: dict[str, Any], folder: Path) -> ManifestEntry:
    audio, language, mode = _text(line, "audio"), line.get("language"), line.get("mode", "transcribe")
    if not audio or "\0" in audio:
        raise EvaluationError(f"audio: got {audio!r}, allowed: the path of a file")
    if mode not in get_args(Mode):
        raise EvaluationError(f"mode: got {mode!r}, allowed: {', '.join(get_args(Mode))}")
    if language is not None and not isinstance(language, str):
        raise EvaluationError(f"language: got {language!r}, allowed: a code such as 'en', or null")
    return ManifestEntry(
        audio=audio,
        path=folder / audio,
        text=_text(line, "text"),
        language=None if language is None else normalise_language(language),
        mode=cast(Mode, mode),
        segments=_timed(line, "segments"),
        words=_timed(line, "words"),
    )


def _text(line: dict[str, Any], key: str, name: str | None = None) -> str:
    value = line.get(key)
    if not isinstance(value, str):
        raise EvaluationError(f"{name or key}: got {value!r}, allowed: text")
    return value


def _timed(line: dict[str, Any], key: str) -> tuple[TimedText, ...] | None:
    items = line.get(key)
    if items is None:
        return None
    if not isinstance(items, list):
        raise EvaluationError(f"{key}: got {items!r}, allowed: a list of objects with text, start_s and end_s")
    return tuple(_timed_texts(items, key))


def _timed_texts(items: list[Any], key: str) -> Iterator[TimedText]:
    for index, item in enumerate(items):
        name = f"{key}[{index}]"
        if not isinstance(item, dict):
            raise EvaluationError(f"{name}: got {item!r}, allowed: an object with text, start_s and end_s")
        start_s, end_s = item.get("start_s"), item.get("end_s")
        if not (_is_seconds(start_s) and _is_seconds(end_s) and start_s <= end_s):
            raise EvaluationError(
                f"{name}: got start_s {start_s!r}, end_s {end_s!r}, allowed: seconds, 0 <= start_s <= end_s"
            )
        yield TimedText(_text(item, "text", f"{name}.text"), float(start_s), float(end_s))


def _is_seconds(value: Any) -> TypeGuard[int | float]:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0
