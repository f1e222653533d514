"""Utterances that are no sentences of the grammar: pieces of sentences, spliced ones, shuffled words.

A model that only ever hears the grammar learns to finish sentences by habit: "It is snowing in
Lisbon." invites the end of a longer sentence that begins with the same words. Speech whose next
word cannot be guessed makes it listen. There is no translation of such an utterance.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from functools import cache

from .grammar import SCRAMBLED_TEMPLATE, TEMPLATES, Sentence, capitalised
from .vocabulary import SLOTS, Word

_CUT_SHARE = 0.3
_SPLICE_SHARE = 0.45
_SHUFFLED_WORDS = (2, 8)
_SHORTEST_LETTERS = 6


def scrambled_sentences(rng: random.Random, language: str, source: Iterator[Sentence]) -> Iterator[Sentence]:
    """Yields utterances for ever that no template of the grammar can produce.

    Args:
        rng: Source of randomness.
        language: The only language of the utterances.
        source: Sentences to take the words from; nothing of a sentence that is held out.
    """
    while True:
        text = _scrambled(rng, language, source)
        if len(text) >= _SHORTEST_LETTERS and not is_grammatical(text, language):
            yield Sentence({language: text}, SCRAMBLED_TEMPLATE)


def _scrambled(rng: random.Random, language: str, source: Iterator[Sentence]) -> str:
    first, second, third = (_words(next(source).text[language]) for _ in range(3))
    kind = rng.random()
    if kind < _CUT_SHARE:
        length = rng.randint(1, max(1, len(first) - 1))
        start = rng.choice((0, rng.randint(0, len(first) - length)))
        words = first[start : start + length]
    elif kind < _CUT_SHARE + _SPLICE_SHARE:
        words = first[: rng.randint(1, len(first))] + second[rng.randint(1, len(second) - 1) :]
    else:
        # First words of sentences have a capital that does not belong to them.
        pool = first[1:] + second[1:] + third[1:]
        words = rng.sample(pool, min(len(pool), rng.randint(*_SHUFFLED_WORDS)))
    return capitalised(" ".join(words).rstrip(",")) + "."


def _words(text: str) -> list[str]:
    return text.strip("¿?.").split()


def is_grammatical(text: str, language: str) -> bool:
    """Whether some template can produce the text, in any inflection and capitalisation."""
    if language == "es":
        text = text.replace(" del ", " de el ").replace(" al ", " a el ")
    return _grammar_pattern(language).fullmatch(text.strip("¿?.").casefold()) is not None


@cache
def _grammar_pattern(language: str) -> re.Pattern[str]:
    templates = (_template_pattern(template.patterns[language], language) for template in TEMPLATES)
    return re.compile("|".join(templates))


def _template_pattern(pattern: str, language: str) -> str:
    parts = []
    for literal, slot, _, _ in string.Formatter().parse(pattern.strip("¿?.")):
        parts.append(re.escape(literal.casefold()))
        if slot:
            parts.append(_slot_pattern(slot.split(".")[0].rstrip(string.digits), language))
    return "".join(parts)


@cache
def _slot_pattern(kind: str, language: str) -> str:
    words: list[Word] = [getattr(entry, language) for entry in SLOTS[kind]]
    forms = {form.casefold() for word in words for form in (word.base, *word.forms.values())}
    return "(?:" + "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)) + ")"
