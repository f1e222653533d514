"""What a transcription remembers of an earlier run of itself, so that a killed one goes on where it stopped.

A journal keeps a record of every window whose text is final. A resumed run decodes the audio and finds the speech
again, which is cheap and gives the same windows; those whose samples are the same as before do not go to the engine.
"""

from __future__ import annotations

import types
import typing
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ifw.engine.request import Hypothesis, LanguageDetection
from ifw.types import Segment

if TYPE_CHECKING:
    from ifw.speech.windows import Window

Record = Mapping[str, Any]
"""One entry of a journal, made of what JSON knows."""


class Journal(Protocol):
    """Where records are kept. `JournalFile` is one; a program may keep them elsewhere, such as in a database."""

    def begin(self, identity: Mapping[str, Any]) -> Sequence[Record]:
        """Start or continue.

        Args:
            identity: All that the text depends on: audio, model, options, version.

        Returns:
            The records of the run that is continued, in order; none where there is nothing to continue.

        Raises:
            ResumeError: What is there belongs to another audio, model, or other options.
        """
        ...

    def append(self, record: Record) -> None:
        """Keep a record; it must survive the end of this process.

        Raises:
            OutputError: It cannot be kept.
        """
        ...


class Remembered(NamedTuple):
    """What came of a window.

    Attributes:
        hypothesis: What the engine said, without its attention.
        segments: What that is in the audio.
        detection: Its language, where the engine was asked for that.
    """

    hypothesis: Hypothesis
    segments: tuple[Segment, ...]
    detection: LanguageDetection | None


class Replay:
    """The results of an earlier run, handed out again, and those of this run, kept.

    Args:
        journal: Where they are kept; None keeps and knows nothing.
    """

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._windows: dict[int, Record] = {}

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Read what the journal has.

        Args:
            identity: See `Journal.begin`.

        Raises:
            ResumeError: It belongs to something else.
        """
        for record in () if self._journal is None else self._journal.begin(identity):
            if "window" in record:
                self._windows[record["window"]] = record
            else:
                self._forget(record["forget_from"])

    def recall(self, window: Window) -> Remembered | None:
        """What came of a window that the earlier run had heard already.

        From the first window on whose samples differ nothing is believed any more.
        """
        record = self._windows.get(window.index)
        if record is None:
            return None
        if record["samples_crc32"] == zlib.crc32(window.samples.data):
            remembered: Remembered = rebuilt(Remembered, record["result"])
            return remembered
        self._forget(window.index)
        if self._journal is not None:
            self._journal.append({"forget_from": window.index})
        return None

    def keep(self, window: Window, result: Remembered) -> None:
        """Remember what came of a window."""
        if self._journal is None:
            return
        plain = {
            "hypothesis": asdict(replace(result.hypothesis, attention=None)),
            "segments": [asdict(segment) for segment in result.segments],
            "detection": None if result.detection is None else asdict(replace(result.detection, encoded=None)),
        }
        self._journal.append(
            {"window": window.index, "samples_crc32": zlib.crc32(window.samples.data), "result": plain}
        )

    def _forget(self, first_index: int) -> None:
        self._windows = {index: record for index, record in self._windows.items() if index < first_index}


def rebuilt(kind: Any, value: Any) -> Any:
    """Turn what JSON made of a dataclass into the dataclass again, along its type hints."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if value is None:
        return None
    if origin in (types.UnionType, typing.Union):
        return rebuilt(next(one for one in arguments if one is not type(None)), value)
    if origin is tuple:
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(rebuilt(one, item) for one, item in zip(kinds, value, strict=True))
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        items = value.items() if isinstance(value, dict) else zip(hints, value, strict=True)
        return kind(**{name: rebuilt(hints[name], item) for name, item in items})
    return value
