"""Speech to text with Whisper checkpoints, fast. Importing this package imports no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ifw.cancellation import CancelToken
from ifw.config import (
    AudioOptions,
    DecodeOptions,
    DiarizationOptions,
    EngineConfig,
    SubtitleOptions,
    TranscribeOptions,
    VadOptions,
)
from ifw.errors import IfwError
from ifw.types import Progress, Segment, SpeakerTurn, Transcript, TranscriptWarning, Word

if TYPE_CHECKING:
    from ifw.pipeline.journal_file import JournalFile
    from ifw.pipeline.transcription import Transcription
    from ifw.transcriber import Transcriber

__version__ = "0.1.0"

__all__ = [
    "AudioOptions",
    "CancelToken",
    "DecodeOptions",
    "DiarizationOptions",
    "EngineConfig",
    "IfwError",
    "JournalFile",
    "Progress",
    "Segment",
    "SpeakerTurn",
    "SubtitleOptions",
    "TranscribeOptions",
    "Transcriber",
    "Transcript",
    "TranscriptWarning",
    "Transcription",
    "VadOptions",
    "Word",
]

_ON_DEMAND = {
    "JournalFile": "ifw.pipeline.journal_file",
    "Transcriber": "ifw.transcriber",
    "Transcription": "ifw.pipeline.transcription",
}


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return getattr(importlib.import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module 'ifw' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
