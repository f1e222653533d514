"""What the settings allow: of downloads and of transcriptions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ifw.config import TranscribeOptions
from ifw.errors import DiarizationError
from ifw.fetch import FetchOptions

if TYPE_CHECKING:
    from ifw.service.settings import Settings


def fetch_options(settings: Settings) -> FetchOptions:
    """The limits of a download."""
    return FetchOptions(
        max_bytes=settings.max_fetch_bytes,
        total_timeout_s=settings.fetch_timeout_s,
        allow_nets=settings.allow_nets,
    )


def bounded(options: TranscribeOptions, max_audio_s: float) -> TranscribeOptions:
    """The same options with a bound on the length of the audio."""
    max_duration_s = min(options.audio.max_duration_s, max_audio_s)
    return replace(options, audio=replace(options.audio, max_duration_s=max_duration_s))


def require_diarization(settings: Settings, options: TranscribeOptions) -> None:
    """Refuse to tell speakers apart where there is no model for it.

    Raises:
        DiarizationError: It is asked for.
    """
    if options.diarize is not None and settings.diarization_model is None:
        raise DiarizationError(
            "speakers cannot be told apart here: there is no diarization model; "
            "leave it out, or have IFW_DIARIZATION_MODEL set, also for all workers"
        )
