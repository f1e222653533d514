"""The voices that a client of OpenAI's API has given names: clips in data URLs, and who sounds like them.

Source: OpenAI's OpenAPI document, `known_speaker_names` and `known_speaker_references`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ifw.config import AudioOptions
from ifw.diarize.known_speakers import Embedding, recognise
from ifw.errors import AudioError, AudioTooLongError, RequestError
from ifw.server.multipart import FormLimits
from ifw.server.openai.form_encoding import FormFields, clipped, shown

if TYPE_CHECKING:
    from ifw.transcriber import Transcriber
    from ifw.types import Transcript

NAMES: Final = "known_speaker_names"
REFERENCES: Final = "known_speaker_references"
MAX_KNOWN: Final = 4
MAX_NAME: Final = 100
MIN_CLIP_S: Final = 2.0
MAX_CLIP_S: Final = 10.0
_ALLOWED: Final = f"{MIN_CLIP_S:g} to {MAX_CLIP_S:g} s"
_SLACK_S: Final = 0.1  # encoders add a few frames, and cut some off
_DATA_URL: Final = re.compile(r"data:[^,;]{0,100}(?:;[^,;]{0,100}){0,4};base64,", re.I)
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class KnownSpeakers:
    """Names, and where the clips lie that are to have them.

    Attributes:
        names: In the order of the clips.
        parts: Each holds a data URL, or a JSON list of them.
    """

    names: tuple[str, ...] = ()
    parts: tuple[Path, ...] = ()

    def voices(self, transcriber: Transcriber) -> Mapping[str, Embedding]:
        """Hear the clips, one after the other. Takes a while, so call it outside of the event loop.

        Args:
            transcriber: Has a diarization model.

        Returns:
            The embedding of each, by name.

        Raises:
            RequestError: A clip is none, or is too short, too long or silent, or there is not one for each name.
        """
        urls = list(_urls(self.parts))
        if len(urls) != len(self.names):
            raise _refusal(f"got {len(urls)} for {len(self.names)} names, allowed: one clip for each name")
        return {
            name: _voice(transcriber, url, number)
            for number, (name, url) in enumerate(zip(self.names, urls, strict=True), start=1)
        }


def named(transcript: Transcript, voices: Mapping[str, Embedding]) -> dict[str, str]:
    """The names of those speakers of a transcript whose voices are known, by their labels."""
    return recognise(transcript.speaker_embeddings, voices)


def read_known_speakers(fields: FormFields, parts: Sequence[tuple[str, Path]]) -> KnownSpeakers:
    """Check the names.

    Args:
        fields: Of the form.
        parts: Its long fields: the clips.

    Raises:
        RequestError: There are too many, or one is not allowed; or there are names without clips, or clips without.
    """
    names = tuple(fields.items(NAMES, has_commas=True))
    clips = tuple(path for name, path in parts if name == REFERENCES)
    if len(names) > MAX_KNOWN:
        raise RequestError(f"{NAMES}: got {len(names)}, allowed: at most {MAX_KNOWN}", param=NAMES)
    for name in names:
        if len(name) > MAX_NAME or not name.isprintable():
            raise RequestError(
                f"{NAMES}: got {shown(name)}, allowed: one line, at most {MAX_NAME} characters", param=NAMES
            )
        if names.count(name) > 1:
            raise RequestError(f"{NAMES}: got {shown(name)} twice, allowed: names that differ", param=NAMES)
    if bool(names) != bool(clips):
        missing = REFERENCES if names else NAMES
        raise RequestError(f"{missing}: is missing; the two belong together, a clip and a name each", param=missing)
    return KnownSpeakers(names, clips)


def with_references(limits: FormLimits) -> FormLimits:
    """The same limits of a form that may hold clips."""
    return replace(limits, long_names=frozenset({REFERENCES}), max_long_fields=MAX_KNOWN)


def _urls(parts: Sequence[Path]) -> Iterator[str]:
    for path in parts:
        try:
            text = path.read_text(encoding="utf-8").strip()
            items: Any = json.loads(text) if text.startswith("[") else [text]
        except (ValueError, RecursionError):
            raise _refusal("is neither a data URL nor a JSON list of them") from None
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise _refusal("is neither a data URL nor a JSON list of them")
        yield from items


def _voice(transcriber: Transcriber, url: str, number: int) -> Embedding:
    head = _DATA_URL.match(url)
    if head is None:
        raise _refusal(f"clip {number} is {shown(url)}, allowed: data:audio/...;base64,...")
    try:
        clip = base64.b64decode(_SPACE.sub("", url[head.end() :]), validate=True)
    except (binascii.Error, ValueError):
        raise _refusal(f"clip {number} is damaged: its base64 cannot be read") from None
    try:
        audio = transcriber.decode(clip, AudioOptions(max_duration_s=MAX_CLIP_S + _SLACK_S))
    except AudioTooLongError:
        raise _refusal(f"clip {number} has more than {MAX_CLIP_S:g} s, allowed: {_ALLOWED}") from None
    except AudioError as error:
        raise _refusal(f"clip {number} cannot be used: {clipped(str(error))}") from None
    if audio.duration_s < MIN_CLIP_S - _SLACK_S:
        raise _refusal(f"clip {number} has {audio.duration_s:.1f} s, allowed: {_ALLOWED}")
    voice = transcriber.diarizer.embed(audio.samples)
    if not voice.any():
        raise _refusal(f"in clip {number} nobody speaks, allowed: a clip in which one person speaks")
    return voice


def _refusal(message: str) -> RequestError:
    return RequestError(f"{REFERENCES}: {message}", param=REFERENCES)
