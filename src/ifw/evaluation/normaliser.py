"""Text as Whisper's authors compare it: without case, punctuation and other matters of spelling."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, cast

from ifw.evaluation.extra import eval_module

ENGLISH: Final = "en"
WITHOUT_SPACES: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})


class Normaliser:
    """Turns texts of one language into words and characters that can be compared.

    English gets Whisper's English normaliser (numbers as digits, contractions written out, British spelling as
    American), every other language its basic one. A language without spaces between words counts each letter as a word.

    Args:
        language: ISO code of the text's language.

    Raises:
        ExtraMissingError: The extra `eval` is not installed.

    Source:
        Radford et al. 2022, section 4.4 and appendix C.
    """

    def __init__(self, language: str) -> None:
        self.has_spaces = language not in WITHOUT_SPACES
        self._normalise = _whisper_normaliser(language == ENGLISH, self.has_spaces)

    def words(self, text: str) -> list[str]:
        """The words of a text, normalised."""
        return self._normalise(text).split()

    def characters(self, text: str) -> str:
        """The characters of a text, normalised; spaces count where the language writes them."""
        return (" " if self.has_spaces else "").join(self.words(text))


@lru_cache(maxsize=3)  # one of them reads a large table
def _whisper_normaliser(is_english: bool, has_spaces: bool) -> Callable[[str], str]:
    if is_english:
        made = eval_module("whisper_normalizer.english").EnglishTextNormalizer()
    else:
        made = eval_module("whisper_normalizer.basic").BasicTextNormalizer(split_letters=not has_spaces)
    return cast(Callable[[str], str], made)
