"""Which language a file is in: as the caller says, or as its first windows vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ifw.errors import LanguageError, ModeError
from ifw.model.languages import normalise_language

if TYPE_CHECKING:
    from ifw.config import DecodeOptions
    from ifw.engine.request import LanguageDetection
    from ifw.model.checkpoint import Checkpoint

MAX_VOTES = 3  # windows that decide on the language of a file


def resolve_language(options: DecodeOptions, checkpoint: Checkpoint) -> str | None:
    """Check language and mode against what the checkpoint can do.

    Returns:
        The ISO code, or None where it has to be detected.

    Raises:
        LanguageError: The language is unknown to Whisper or to this checkpoint.
        ModeError: The checkpoint cannot translate.
    """
    if options.mode == "translate" and not checkpoint.can_translate:
        raise ModeError(
            f"mode: got 'translate', but the checkpoint {checkpoint.name!r} was never trained to translate; "
            "use 'large-v3', 'medium' or another multilingual checkpoint that is neither turbo nor distilled"
        )
    code = None if options.language is None else normalise_language(options.language)
    if not checkpoint.tokenizer.is_multilingual:
        if code not in (None, "en"):
            raise LanguageError(f"language: got {options.language!r}, but {checkpoint.name!r} knows English only")
        return "en"
    if code is not None and code not in checkpoint.languages:
        raise LanguageError(
            f"language: got {options.language!r}, allowed by {checkpoint.name!r}: "
            + ", ".join(sorted(checkpoint.languages))
        )
    return code


@dataclass(frozen=True, slots=True)
class LanguageVote:
    """What the first windows of a file agree on."""

    language: str
    probability: float

    @classmethod
    def over(cls, detections: Sequence[LanguageDetection], speech_s: Sequence[float]) -> LanguageVote:
        """Average the probabilities, weighted by how much speech each window holds.

        Args:
            detections: One a window; none for a silent file, which counts as English with probability 0.
            speech_s: Seconds of speech in each window.
        """
        totals: dict[str, float] = {}
        weights = [
            max(seconds, 0.01) * max(1.0 - detection.no_speech_prob, 0.01)
            for detection, seconds in zip(detections, speech_s, strict=True)
        ]
        for detection, weight in zip(detections, weights, strict=True):
            for code, probability in detection.probabilities.items():
                totals[code] = totals.get(code, 0.0) + weight * probability
        if not totals:
            return cls("en", 0.0)
        best = max(totals, key=lambda code: totals[code])
        return cls(best, totals[best] / sum(weights))
