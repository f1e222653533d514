"""Values of a JSON file that anybody may have written, checked one by one; errors name the place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, TypeVar, get_args

from ifw.errors import TranscriptError

T = TypeVar("T")

MAX_TIME_S: Final = 1e7
MAX_SHOWN: Final = 60

_NAMES: Final[dict[type, str]] = {dict: "an object", list: "a list", str: "text", int: "an integer"}
_MISSING: Final = object()


class Fields:
    """One object of a JSON file.

    Args:
        value: As it was read.
        where: Its place in the file, such as `segments[3]`; empty for the whole.

    Raises:
        TranscriptError: It is no object.
    """

    def __init__(self, value: object, where: str = "") -> None:
        self._values = checked(value, dict, where or "the file")
        self._where = where

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def has_value(self, key: str) -> bool:
        """Whether it is there and not null."""
        return self._values.get(key) is not None

    def place(self, key: str) -> str:
        """Where a value is, for messages."""
        return f"{self._where}.{key}" if self._where else key

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """A value of one kind.

        Args:
            key: Its name.
            kind: dict, list, str or int; true and false are no integers.
            default: Stands for a missing value; None for one that must be there.

        Raises:
            TranscriptError: It is missing or of another kind.
        """
        value = self._values.get(key, _MISSING if default is None else default)
        if value is _MISSING:
            raise TranscriptError(f"{self.place(key)}: got nothing, allowed: {_NAMES[kind]}")
        return checked(value, kind, self.place(key))

    def optional_text(self, key: str) -> str | None:
        """A text, or None where it is null or missing.

        Raises:
            TranscriptError: It is something else.
        """
        return None if self._values.get(key) is None else self.get(key, str)

    def time_s(self, key: str, lowest: float = 0.0) -> float:
        """A time in seconds that must be there.

        Raises:
            TranscriptError: It is missing, no finite number, or out of bounds.
        """
        value = self._values.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and lowest <= value <= MAX_TIME_S:
            return float(value)
        got = "nothing" if key not in self._values else _shown(value)
        raise TranscriptError(f"{self.place(key)}: got {got}, allowed: seconds, {lowest:.10g} to {MAX_TIME_S:.10g}")

    def score(self, key: str) -> float:
        """A number; not a number (nan) where it is null or missing.

        Raises:
            TranscriptError: It is something else.
        """
        value = self._values.get(key)
        if value is None:
            return math.nan
        return _number(value, self.place(key))

    def scores(self, key: str) -> dict[str, float]:
        """Numbers by name; none where they are missing.

        Raises:
            TranscriptError: They are something else.
        """
        place = self.place(key)
        items = self.get(key, dict, {}).items()
        return {name: math.nan if value is None else _number(value, f"{place}.{name}") for name, value in items}

    def choice(self, key: str, literal: Any, default: str | None) -> Any:
        """One of the values of a `Literal`; the default where it is null or missing.

        Raises:
            TranscriptError: It is something else.
        """
        value = self._values.get(key)
        if value is None:
            return default
        if value not in get_args(literal):
            raise TranscriptError(f"{self.place(key)}: got {_shown(value)}, allowed: {', '.join(get_args(literal))}")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """Integers; none where they are missing.

        Raises:
            TranscriptError: They are something else.
        """
        place = self.place(key)
        return tuple(checked(item, int, f"{place}[{index}]") for index, item in enumerate(self.get(key, list, [])))

    def numbers(self, key: str) -> tuple[float, ...]:
        """Numbers of a list that must be there; those that are null are nan.

        Raises:
            TranscriptError: It is no list, or holds something else.
        """
        items = enumerate(self.get(key, list))
        place = self.place(key)
        return tuple(math.nan if item is None else _number(item, f"{place}[{index}]") for index, item in items)

    def objects(self, key: str, default: list[Any] | None = None) -> Iterator[Fields]:
        """The objects of a list.

        Args:
            key: Its name.
            default: Stands for a missing list; None for one that must be there.

        Raises:
            TranscriptError: It is no list, or holds something else.
        """
        for index, item in enumerate(self.get(key, list, default)):
            yield Fields(item, f"{self.place(key)}[{index}]")


def checked(value: object, kind: type[T], where: str) -> T:
    """A value that is of one kind.

    Raises:
        TranscriptError: It is of another kind.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TranscriptError(f"{where}: got {_shown(value)}, allowed: {_NAMES[kind]}")
    return value


def _number(value: object, where: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise TranscriptError(f"{where}: got {_shown(value)}, allowed: a number or null")


def _shown(value: object) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    names = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return names[value]
    shown = repr(value) if isinstance(value, (str, float)) else f"{value:.6g}" if _is_short(value) else "a huge number"
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."


def _is_short(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < 10**MAX_SHOWN
