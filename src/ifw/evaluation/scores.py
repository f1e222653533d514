"""What one file, and a whole evaluation set, came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ifw.evaluation.error_counts import ErrorCounts, count_character_errors, count_word_errors
from ifw.evaluation.manifest import ManifestEntry
from ifw.evaluation.normaliser import ENGLISH, Normaliser
from ifw.evaluation.time_errors import TimeErrors, segment_time_errors, word_time_errors
from ifw.types import Mode, Transcript, Word


@dataclass(frozen=True, slots=True)
class FileScore:
    """What one file came to.

    Attributes:
        audio: As the manifest names it.
        mode: Transcribed or translated.
        language: As the transcript says.
        reference: What was said.
        hypothesis: What was written.
        duration_s: Seconds of audio.
        wall_s: Seconds that it took, other files beside it.
        words: Errors of words.
        characters: Errors of characters.
        segment_times: None where the manifest has no times of segments.
        word_times: None where the manifest or the transcript has no times of words.
    """

    audio: str
    mode: Mode
    language: str
    reference: str
    hypothesis: str
    duration_s: float
    wall_s: float
    words: ErrorCounts
    characters: ErrorCounts
    segment_times: TimeErrors | None = None
    word_times: TimeErrors | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that gave no transcript.

    Attributes:
        audio: As the manifest names it.
        mode: Transcribed or translated.
        code: The error's stable code.
        message: What was wrong.
    """

    audio: str
    mode: Mode
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation set came to. Totals are over all words and characters, not means over files.

    Attributes:
        files: In the order of the manifest.
        failures: Files that gave no transcript; they count in no total.
        wall_s: Seconds from the first file's start to the last file's end, the model loaded and warm.
        settings: Whatever makes the run recognisable, such as the model's name; values that JSON knows.
    """

    files: tuple[FileScore, ...]
    failures: tuple[Failure, ...] = ()
    wall_s: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> ErrorCounts:
        """Errors of all words."""
        return ErrorCounts.total(file.words for file in self.files)

    @property
    def characters(self) -> ErrorCounts:
        """Errors of all characters."""
        return ErrorCounts.total(file.characters for file in self.files)

    @property
    def segment_times(self) -> TimeErrors | None:
        """Errors of the times of all segments; None where no file has any."""
        kept = [file.segment_times for file in self.files if file.segment_times is not None]
        return TimeErrors.total(kept) if kept else None

    @property
    def word_times(self) -> TimeErrors | None:
        """Errors of the times of all words; None where no file has any."""
        kept = [file.word_times for file in self.files if file.word_times is not None]
        return TimeErrors.total(kept) if kept else None

    @property
    def audio_s(self) -> float:
        """Seconds of audio that were transcribed."""
        return sum(file.duration_s for file in self.files)

    @property
    def speed(self) -> float | None:
        """Seconds of audio for each second of `wall_s`; None where nothing was measured."""
        return self.audio_s / self.wall_s if self.wall_s > 0 else None


def score(entry: ManifestEntry, transcript: Transcript) -> FileScore:
    """Compare a transcript with what it should be.

    The texts are normalised as English where they are (also as a translation), else as `entry.language`, or as the
    transcript's language where the manifest does not say.

    Raises:
        ExtraMissingError: The extra `eval` is not installed.
    """
    language = entry.language or transcript.language
    normaliser = Normaliser(ENGLISH if entry.mode == "translate" else language)
    words = _words(transcript)
    return FileScore(
        audio=entry.audio,
        mode=entry.mode,
        language=transcript.language,
        reference=entry.text,
        hypothesis=transcript.text,
        duration_s=transcript.duration_s,
        wall_s=transcript.timings.get("total", 0.0),
        words=count_word_errors(normaliser.words(entry.text), normaliser.words(transcript.text)),
        characters=count_character_errors(normaliser.characters(entry.text), normaliser.characters(transcript.text)),
        segment_times=None
        if entry.segments is None
        else segment_time_errors(entry.segments, transcript.segments, normaliser),
        word_times=None if entry.words is None or words is None else word_time_errors(entry.words, words, normaliser),
    )


def _words(transcript: Transcript) -> list[Word] | None:
    """All words; None where a segment has no word times."""
    words: list[Word] = []
    for segment in transcript.segments:
        if segment.words is None:
            return None
        words += segment.words
    return words
