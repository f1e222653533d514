"""Which language a file is in: what the caller says against what the checkpoint can do, and how windows vote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ifw.errors import LanguageError, ModeError
from ifw.model.languages import language_code

if TYPE_CHECKING:
    from ifw.config import DecodeOptions
    from ifw.engine.request import LanguageDetection
    from ifw.model.checkpoint import Checkpoint

MAX_RUNNERS_UP: Final = 5  # languages that a transcript names
_MIN_WEIGHT: Final = 0.01
# Encoder layers of OpenAI's multilingual checkpoints, which tell the sizes apart.
_TRANSLATORS: Final[Mapping[int, str]] = MappingProxyType({4: "tiny", 6: "base", 12: "small", 24: "medium"})


def resolve_language(options: DecodeOptions, checkpoint: Checkpoint) -> str | None:
    """Check language and mode against what the checkpoint can do.

    Returns:
        The ISO code, or None where it has to be detected.

    Raises:
        LanguageError: The language is unknown to Whisper or to this checkpoint, or it knows only one.
        ModeError: The checkpoint cannot translate.
    """
    able = _TRANSLATORS.get(checkpoint.dims.n_encoder_layers, "large-v3")
    if options.mode == "translate" and not checkpoint.can_translate:
        raise ModeError(
            f"mode: got 'translate', but the checkpoint {checkpoint.name!r} was never trained to translate; "
            f"use {able!r} or another multilingual checkpoint that is neither turbo nor distilled"
        )
    code = language_code(options.language)
    if not checkpoint.tokenizer.is_multilingual:
        if code not in (None, "en") or options.multilingual:
            name, got = ("multilingual", True) if options.multilingual else ("language", options.language)
            raise LanguageError(f"{name}: got {got!r}, but {checkpoint.name!r} knows English only; use {able!r}")
        return "en"
    if code is not None and code not in checkpoint.languages:
        raise LanguageError(
            f"language: got {options.language!r}, allowed by {checkpoint.name!r}: "
            + ", ".join(sorted(checkpoint.languages))
        )
    return code


@dataclass(frozen=True, slots=True)
class LanguageVote:
    """What the windows of a file agree on.

    Attributes:
        language: ISO code.
        probability: Its mean probability.
        probabilities: ISO code -> mean probability of the likeliest, likeliest first.
    """

    language: str
    probability: float
    probabilities: dict[str, float] = field(default_factory=dict)


class Ballot:
    """Averages the probabilities of the languages, weighted by how much speech each window holds."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._weight = 0.0

    def add(self, detection: LanguageDetection, speech_s: float) -> None:
        """Count one window, which holds so many seconds of speech."""
        weight = max(speech_s, _MIN_WEIGHT) * max(1.0 - detection.no_speech_prob, _MIN_WEIGHT)
        self._weight += weight
        for code, probability in detection.probabilities.items():
            self._totals[code] = self._totals.get(code, 0.0) + weight * probability

    def result(self, language: str | None = None) -> LanguageVote:
        """The vote so far.

        Args:
            language: What was decided otherwise; None is what most voted for. A file without windows, which is silent,
                counts as English with probability 0.
        """
        ranked = sorted(self._totals, key=lambda code: self._totals[code], reverse=True)
        means = {code: self._totals[code] / self._weight for code in ranked}
        language = language or next(iter(ranked), "en")
        likeliest = {code: means[code] for code in ranked[:MAX_RUNNERS_UP]}
        return LanguageVote(language, means.get(language, 0.0), likeliest)
