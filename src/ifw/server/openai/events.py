"""The events of a stream of OpenAI's API, as text: of segments that become final one by one, or of who said what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ifw.diarize.known_speakers import Embedding
from ifw.formats.openai_events import delta_event, diarized_events, done_event, event_text
from ifw.formats.openai_wire import TokenBytes
from ifw.server.openai.known_speakers import named
from ifw.server.transcripts import require_speakers
from ifw.types import Segment, Transcript


class EventWriter(Protocol):
    """Writes events."""

    def segment(self, segment: Segment) -> str:
        """Those that tell of a segment as soon as it is final; may be empty."""
        ...

    def end(self, transcript: Transcript) -> str:
        """Those of the end; takes a while for a long transcript."""
        ...


class TextEvents:
    """A delta for each segment, and last the whole text.

    Args:
        token_bytes: Adds the probabilities of the tokens.
    """

    def __init__(self, token_bytes: TokenBytes | None) -> None:
        self._token_bytes = token_bytes

    def segment(self, segment: Segment) -> str:
        """Its delta."""
        return event_text(delta_event(segment, self._token_bytes))

    def end(self, transcript: Transcript) -> str:
        """The whole text."""
        return event_text(done_event(transcript, self._token_bytes))


class SpeakerEvents:
    """Everything at the end, as nobody has a name before all was heard.

    Args:
        voices: Known voices by their names.
    """

    def __init__(self, voices: Mapping[str, Embedding]) -> None:
        self._voices = voices

    def segment(self, segment: Segment) -> str:
        """Nothing."""
        return ""

    def end(self, transcript: Transcript) -> str:
        """Each segment with its speaker, and the whole text.

        Raises:
            EngineError: Telling the speakers apart has failed.
        """
        require_speakers(transcript)
        events = [*diarized_events(transcript, named(transcript, self._voices), self._voices), done_event(transcript)]
        return "".join(map(event_text, events))
