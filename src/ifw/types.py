"""The values that travel between the parts. All are frozen.

Times are seconds from the start of the audio, timings are wall seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

Mode = Literal["transcribe", "translate"]
Stage = Literal["decode", "transcribe", "diarize"]
SuspectReason = Literal["repetition", "low_probability", "no_speech"]

DIARIZATION_FAILED: Final = "diarization_failed"
"""Code of the warning that nobody could be told apart."""


@dataclass(frozen=True, slots=True)
class SpeechSpan:
    """A stretch of audio in which the voice detector heard speech."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class SpeakerTurn:
    """A stretch of audio in which one speaker speaks. Turns of different speakers may overlap.

    Attributes:
        start_s: Start in the audio.
        end_s: End in the audio, after `start_s`.
        speaker: Label of the speaker, `SPEAKER_00` for the one who is heard first.
    """

    start_s: float
    end_s: float
    speaker: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Word:
    """One written word, with the punctuation that clings to it.

    Attributes:
        text: As written, with the space before it where the language writes one: the texts of a segment's words, joined
            without anything between them, are the text of the segment up to surrounding space.
        start_s: Start in the audio.
        end_s: End in the audio, after `start_s`.
        probability: Mean probability of its tokens, without the punctuation that was merged into it.
        speaker: Label of the speaker, where diarization heard one near the word, or where channels were split.
    """

    text: str
    start_s: float
    end_s: float
    probability: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text between two timestamps, usually a sentence or a clause.

    Attributes:
        id: Position in the transcript, from 0.
        start_s: Start in the audio; that of the first word, where there are words.
        end_s: End in the audio, never before `start_s`; that of the last word, where there are words.
        text: The text, without leading or trailing space.
        token_ids: Text tokens, without timestamps.
        language: ISO code of the window that it came from.
        temperature: Sampling temperature of the accepted hypothesis.
        avg_logprob: Mean natural-log probability of the window's tokens.
        compression_ratio: Bytes of the window's text over its zlib-compressed bytes.
        no_speech_prob: Probability of `<|nospeech|>` at the first step of the window.
        suspect: Why the text of the window is not believed. `repetition` and `low_probability` stayed so at every
            attempt, and it is the best that was found; `no_speech` says that the model heard nobody speak and is not
            sure of the text. None where it is believed.
        words: Word times, where they were asked for.
        speaker: Label of the speaker, as of its words. With diarization a segment has one speaker: text of several is
            cut between words.
        token_logprobs: Natural-log probability of each of `token_ids`, where they were asked for; 0 for tokens that
            the model was given to go on from.
    """

    id: int
    start_s: float
    end_s: float
    text: str
    token_ids: tuple[int, ...]
    language: str
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    suspect: SuspectReason | None = None
    words: tuple[Word, ...] | None = None
    speaker: str | None = None
    token_logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class TranscriptWarning:
    """Something that went wrong without ending the work, such as a truncated file.

    Attributes:
        code: Stable name, such as `audio_truncated`.
        message: One sentence for a person.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that is known about what was said.

    Attributes:
        text: The whole text, segments joined by spaces.
        segments: In time order.
        language: ISO code of the (main) spoken language.
        language_probability: How sure the detection was; 1.0 where the caller gave the language.
        language_probabilities: The likeliest languages of the detection, likeliest first; empty where the caller gave
            the language.
        duration_s: Length of the decoded audio.
        mode: Transcribed in its own language, or translated into English.
        model: The name or path that the checkpoint was asked for by.
        warnings: What went wrong without ending the work.
        timings: Wall seconds by stage; stages overlap, so they do not add up.
        turns: Who was heard when, in order of their starts; turns of different speakers may overlap. None where
            diarization did not run, or failed.
        speaker_embeddings: The voice of each speaker of `turns` by label; all zeros where too little of it was heard.
    """

    text: str
    segments: tuple[Segment, ...]
    language: str
    language_probability: float
    duration_s: float
    mode: Mode = "transcribe"
    model: str = ""
    warnings: tuple[TranscriptWarning, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    language_probabilities: dict[str, float] = field(default_factory=dict)
    turns: tuple[SpeakerTurn, ...] | None = None
    speaker_embeddings: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one transcription has come.

    Attributes:
        stage: The stage that made this progress; they run side by side.
        done_s: Seconds of audio behind this stage.
        total_s: Seconds of audio in all, as far as known; None while a stream of unknown length is being decoded.
    """

    stage: Stage
    done_s: float
    total_s: float | None
