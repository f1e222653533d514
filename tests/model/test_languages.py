from __future__ import annotations

import pytest

from ifw.errors import LanguageError
from ifw.model.languages import _OTHER_CODES, LANGUAGES, language_code, language_name, normalise_language


def test_the_table_is_that_of_transformers() -> None:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES as REFERENCE

    assert {code: name.lower() for code, name in LANGUAGES.items()} == REFERENCE
    assert list(LANGUAGES) == list(REFERENCE), "the order is that of the tokens"


def test_every_other_name_of_transformers_is_known() -> None:
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    assert {name: normalise_language(name) for name in TO_LANGUAGE_CODE} == TO_LANGUAGE_CODE


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        (" en ", "en"),
        ("English", "en"),
        ("ENGLISH", "en"),
        ("en-US", "en"),
        ("en_GB", "en"),
        ("en_US.UTF-8", "en"),
        ("zh-Hant-TW", "zh"),
        ("zh_CN", "zh"),
        ("cmn-Hans-CN", "zh"),
        ("Mandarin", "zh"),
        ("cantonese", "yue"),
        ("yue-HK", "yue"),
        ("zh-yue", "yue"),
        ("pt-BR", "pt"),
        ("nb-NO", "no"),
        ("nn", "nn"),
        ("Norwegian Nynorsk", "nn"),
        ("haitian  creole", "ht"),
        ("iw", "he"),
        ("jv", "jw"),
        ("fil-PH", "tl"),
        ("deu", "de"),
        ("haw-US", "haw"),
        ("sr-Latn-RS", "sr"),
    ],
)
def test_normalises(given: str, code: str) -> None:
    assert normalise_language(given) == code


@pytest.mark.parametrize("code", LANGUAGES)
def test_code_and_name_mean_the_same(code: str) -> None:
    assert normalise_language(code) == normalise_language(language_name(code)) == code


@pytest.mark.parametrize("given", [None, "", " ", "\n", "auto", " AUTO ", "None", "none"])
def test_open(given: str | None) -> None:
    assert language_code(given) is None


@pytest.mark.parametrize(("given", "code"), [(" zh-Hans ", "zh"), ("iw", "he"), ("Castilian", "es"), ("no", "no")])
def test_a_language_that_is_given_is_not_open(given: str, code: str) -> None:
    assert language_code(given) == code


def test_every_other_code_is_that_of_its_language() -> None:
    assert {len(code) for code in _OTHER_CODES} == {2, 3}
    assert set(_OTHER_CODES.values()) <= set(LANGUAGES)
    assert not set(_OTHER_CODES) & set(LANGUAGES)
    bibliographic = {"chi", "ger", "fre", "dut", "gre", "may", "cze", "rum", "mao", "wel", "slo", "per", "mac", "baq"}
    assert bibliographic | {"ice", "arm", "alb", "geo", "bur", "tib"} <= set(_OTHER_CODES)
    with_three_letters = {code for code in LANGUAGES if len(code) == 3}
    assert set(LANGUAGES) - set(_OTHER_CODES.values()) <= with_three_letters, "every two-letter code has another"


@pytest.mark.parametrize("given", ["", "xx", "Klingon", "e", "-", "english language", "12", "<|en|>", "\n"])
def test_refuses(given: str) -> None:
    with pytest.raises(LanguageError, match=r"allowed: one of 100 codes"):
        normalise_language(given)


def test_lists_close_names() -> None:
    with pytest.raises(LanguageError, match=r"close: .*german \(de\)"):
        normalise_language("Germn")
    with pytest.raises(LanguageError, match=r"close: .*english \(en\)"):
        normalise_language("englsh")
