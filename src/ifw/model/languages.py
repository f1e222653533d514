"""The languages that Whisper knows, and what people call them.

Source: openai/whisper `tokenizer.py` (codes and English names, in the order of their tokens); ISO 639; BCP 47.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ifw.errors import LanguageError

_TABLE = """
    en English, zh Chinese, de German, es Spanish, ru Russian, ko Korean, fr French, ja Japanese, pt Portuguese,
    tr Turkish, pl Polish, ca Catalan, nl Dutch, ar Arabic, sv Swedish, it Italian, id Indonesian, hi Hindi,
    fi Finnish, vi Vietnamese, he Hebrew, uk Ukrainian, el Greek, ms Malay, cs Czech, ro Romanian, da Danish,
    hu Hungarian, ta Tamil, no Norwegian, th Thai, ur Urdu, hr Croatian, bg Bulgarian, lt Lithuanian, la Latin,
    mi Maori, ml Malayalam, cy Welsh, sk Slovak, te Telugu, fa Persian, lv Latvian, bn Bengali, sr Serbian,
    az Azerbaijani, sl Slovenian, kn Kannada, et Estonian, mk Macedonian, br Breton, eu Basque, is Icelandic,
    hy Armenian, ne Nepali, mn Mongolian, bs Bosnian, kk Kazakh, sq Albanian, sw Swahili, gl Galician, mr Marathi,
    pa Punjabi, si Sinhala, km Khmer, sn Shona, yo Yoruba, so Somali, af Afrikaans, oc Occitan, ka Georgian,
    be Belarusian, tg Tajik, sd Sindhi, gu Gujarati, am Amharic, yi Yiddish, lo Lao, uz Uzbek, fo Faroese,
    ht Haitian Creole, ps Pashto, tk Turkmen, nn Nynorsk, mt Maltese, sa Sanskrit, lb Luxembourgish, my Myanmar,
    bo Tibetan, tl Tagalog, mg Malagasy, as Assamese, tt Tatar, haw Hawaiian, ln Lingala, ha Hausa, ba Bashkir,
    jw Javanese, su Sundanese, yue Cantonese
"""


def _parse(table: str) -> Mapping[str, str]:
    items = (item.strip().partition(" ") for item in table.split(","))
    return MappingProxyType({key: value for key, _, value in items})


LANGUAGES: Final = _parse(_TABLE)

_OTHER_NAMES: Final = MappingProxyType(
    {
        "burmese": "my",
        "castilian": "es",
        "farsi": "fa",
        "filipino": "tl",
        "flemish": "nl",
        "haitian": "ht",
        "letzeburgesch": "lb",
        "mandarin": "zh",
        "moldavian": "ro",
        "moldovan": "ro",
        "norwegian nynorsk": "nn",
        "panjabi": "pa",
        "pushto": "ps",
        "sinhalese": "si",
        "valencian": "ca",
    }
)

# ISO 639 codes that name a language of the table but are not Whisper's own code for it.
_OTHER_CODES: Final = _parse("""
    cmn zh, fil tl, in id, iw he, ji yi, jv jw, mo ro, nb no, eng en, zho zh, chi zh, deu de, ger de, spa es, rus ru,
    kor ko, fra fr, fre fr, jpn ja, por pt, tur tr, pol pl, cat ca, nld nl, dut nl, ara ar, swe sv, ita it, ind id,
    hin hi, fin fi, vie vi, heb he, ukr uk, ell el, gre el, msa ms, may ms, ces cs, cze cs, ron ro, rum ro, dan da,
    hun hu, tam ta, nor no, nob no, nno nn, tha th, urd ur, hrv hr, bul bg, lit lt, lat la, mri mi, mao mi, mal ml,
    cym cy, wel cy, slk sk, slo sk, tel te, fas fa, per fa, lav lv, ben bn, srp sr, aze az, slv sl, kan kn, est et,
    mkd mk, mac mk, bre br, eus eu, baq eu, isl is, ice is, hye hy, arm hy, nep ne, mon mn, bos bs, kaz kk, sqi sq,
    alb sq, swa sw, glg gl, mar mr, pan pa, sin si, khm km, sna sn, yor yo, som so, afr af, oci oc, kat ka, geo ka,
    bel be, tgk tg, snd sd, guj gu, amh am, yid yi, lao lo, uzb uz, fao fo, hat ht, pus ps, tuk tk, mlt mt, san sa,
    ltz lb, mya my, bur my, bod bo, tib bo, tgl tl, mlg mg, asm as, tat tt, lin ln, hau ha, bak ba, jav jw, sun su
""")

_DETECT: Final = frozenset({"", "auto", "none"})


def language_name(code: str) -> str:
    """The English name of a code of `LANGUAGES`; a code that a fine-tuned checkpoint added stands for itself."""
    return LANGUAGES.get(code, code)


def language_code(language: str | None) -> str | None:
    """Find Whisper's code for what a caller gave as the language.

    Args:
        language: As for `normalise_language`; None, `auto`, `none` and blank text leave it open.

    Returns:
        A code of `LANGUAGES`, or None where the language has to be detected.

    Raises:
        LanguageError: Nothing matches; the message lists close names.
    """
    if language is None or language.strip().lower() in _DETECT:
        return None
    return normalise_language(language)


def normalise_language(language: str) -> str:
    """Find Whisper's code for what a person or a program calls a language.

    Args:
        language: A code (`en`, `EN`, `eng`), a BCP-47 or POSIX tag (`en-US`, `zh_Hant_TW.UTF-8`), or an English
            name (`English`, `haitian creole`, `Mandarin`).

    Returns:
        A code of `LANGUAGES`. Whether a checkpoint knows it is another question: `yue` came with large-v3.

    Raises:
        LanguageError: Nothing matches; the message lists close names.
    """
    wanted = " ".join(language.split()).lower()
    names = {name.lower(): code for code, name in LANGUAGES.items()} | dict(_OTHER_NAMES)
    if wanted in names:
        return names[wanted]
    subtags = re.split(r"[-_.@]", wanted)
    if subtags[:2] == ["zh", "yue"]:
        return "yue"
    primary = _OTHER_CODES.get(subtags[0], subtags[0])
    if primary in LANGUAGES:
        return primary
    close = difflib.get_close_matches(wanted, [*names, *LANGUAGES], n=5, cutoff=0.6)
    hint = f"; close: {', '.join(f'{name} ({names.get(name, name)})' for name in close)}" if close else ""
    raise LanguageError(
        f"language: got {language!r}, allowed: one of {len(LANGUAGES)} codes such as 'en', tags such as 'en-US', or "
        f"English names such as 'English'{hint}"
    )
