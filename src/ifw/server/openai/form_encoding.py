"""Fields of a form as clients of OpenAI's API encode them: lists and objects in brackets, as JSON, or with commas."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ifw.errors import RequestError

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_NAME: Final = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")
_SHOWN: Final = 60
_MESSAGE: Final = 400
_CLOSE: Final = 0.8  # a name as like a known one as this is a misspelt one


class FormFields:
    """Reads the fields of a form by name. Unknown ones are ignored, but for those that look like misspelt ones.

    Args:
        fields: Names and values, in the order in which they came.
        known: The names that are read, without brackets.

    Raises:
        RequestError: A name is no name, or nearly a known one.
    """

    def __init__(self, fields: Sequence[tuple[str, str]], known: Collection[str]) -> None:
        self._values: dict[str, list[tuple[str | None, str]]] = {}
        for written, value in fields:
            match = _NAME.fullmatch(written)
            name, key = match.groups() if match else (written, None)
            if name in known:
                self._values.setdefault(name, []).append((key, value))
            elif close := difflib.get_close_matches(name, known, 1, _CLOSE):
                raise RequestError(f"{shown(written)}: there is no such field; you may mean {close[0]}", param=name)

    def text(self, name: str) -> str | None:
        """A text; None where it is missing or blank.

        Raises:
            RequestError: It came several times, with different values.
        """
        values = {value for _, value in self._values.get(name, [])}
        if len(values) > 1:
            raise RequestError(f"{name}: got {len(values)} values, allowed: one", param=name)
        return next((value for value in values if value.strip()), None)

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """One of some words.

        Raises:
            RequestError: It is something else.
        """
        value = self.text(name)
        if value is None:
            return default
        if value.strip() not in allowed:
            raise RequestError(f"{name}: got {shown(value)}, allowed: {', '.join(allowed)}", param=name)
        return value.strip()

    def boolean(self, name: str) -> bool | None:
        """True or false, in the words of any language; None where it is missing.

        Raises:
            RequestError: It is something else.
        """
        value = self.text(name)
        word = (value or "").strip().lower()
        if value is not None and word not in _TRUE | _FALSE:
            raise RequestError(f"{name}: got {shown(value)}, allowed: true, false", param=name)
        return None if value is None else word in _TRUE

    def number(self, name: str, lowest: float, highest: float) -> float | None:
        """A number within bounds; None where it is missing.

        Raises:
            RequestError: It is something else.
        """
        value = self.text(name)
        return None if value is None else as_number(name, value, lowest, highest)

    def items(self, name: str, *, has_commas: bool = False) -> list[str]:
        """The values of a list: `name[]` or `name` once or several times, or a JSON list in one of them.

        Args:
            name: Without brackets.
            has_commas: The values hold commas, which part them otherwise.

        Raises:
            RequestError: A value is JSON, and no list of texts.
        """
        found: list[str] = []
        for _, value in self._values.get(name, []):
            if value.lstrip().startswith(("[", "{")):
                found += _texts(name, value)
            else:
                found += [value] if has_commas else value.split(",")
        return [item.strip() for item in found if item.strip()]

    def structure(self, name: str) -> str | Mapping[str, Any] | None:
        """A word, or an object: `name[key]` once a key, or JSON. None where it is missing or null.

        Raises:
            RequestError: It is damaged, or of another kind.
        """
        values = self._values.get(name, [])
        keyed = {key: value for key, value in values if key}
        if keyed:
            return keyed
        text = self.text(name)
        if text is None or not text.lstrip().startswith(("{", "[", '"', "null")):
            return None if text is None else text.strip()
        parsed = _json(name, text)
        if parsed is not None and not isinstance(parsed, (str, dict)):
            raise RequestError(f"{name}: got {shown(text)}, allowed: a word or an object", param=name)
        return parsed


def as_number(name: str, value: Any, lowest: float, highest: float) -> float:
    """A number within bounds, of a text or as JSON has it.

    Raises:
        RequestError: It is something else.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not lowest <= number <= highest:
        got, param = shown(value if isinstance(value, str) else json.dumps(value)), name.partition("[")[0]
        raise RequestError(f"{name}: got {got}, allowed: a number, {lowest:g} to {highest:g}", param=param)
    return number


def shown(value: str) -> str:
    """A value of a client for a message: quoted, and not too long."""
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")


def clipped(message: str) -> str:
    """A message of another part, which may quote a value of a client, not too long."""
    return message if len(message) <= _MESSAGE else f"{message[:_MESSAGE]}..."


def _texts(name: str, value: str) -> list[str]:
    parsed = _json(name, value)
    if not isinstance(parsed, list) or not all(isinstance(item, str) for item in parsed):
        raise RequestError(f"{name}: got {shown(value)}, allowed: a list of texts", param=name)
    return parsed


def _json(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise RequestError(f"{name}: got {shown(value)}, which is no JSON", param=name) from None
