"""Reading the JSON files of a checkpoint, whose content anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from ifw.errors import ModelFormatError

T = TypeVar("T")

_JSON_NAMES = {dict: "an object", list: "a list", str: "a string", int: "an integer", bool: "true or false"}


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one object.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        ModelFormatError: The file cannot be read, is no JSON, is nested too deeply, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ModelFormatError(f"{path} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelFormatError(f"{path}: got {_shown(content)}, allowed: a JSON object")
    return content


def expect(value: object, kind: type[T], where: str) -> T:
    """Check what kind of JSON value something is.

    Args:
        value: As it was read.
        kind: dict, list, str, int or bool; true and false are no integers.
        where: What it is, for the message.

    Returns:
        The value.

    Raises:
        ModelFormatError: It is of another kind.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ModelFormatError(f"{where}: got {_shown(value)}, allowed: {_JSON_NAMES[kind]}")
    return value


def expect_key(content: dict[str, Any], key: str, kind: type[T], where: str) -> T:
    """A key that must be there, of the right kind.

    Args:
        content: The object.
        key: Its key.
        kind: As in `expect`.
        where: What the object is, for the message.

    Raises:
        ModelFormatError: It lacks the key, or the value is of another kind.
    """
    if key not in content:
        raise ModelFormatError(f"{where} cannot be read: it lacks {key!r}")
    return expect(content[key], kind, f"{where}, {key}")


def expect_map(value: object, kind: type[T], where: str) -> dict[str, T]:
    """An object whose values are all of one kind.

    Raises:
        ModelFormatError: It is none, or a value is of another kind.
    """
    return {key: expect(item, kind, f"{where}, {key!r}") for key, item in expect(value, dict, where).items()}


def expect_list(value: object, kind: type[T], where: str) -> list[T]:
    """A list whose items are all of one kind.

    Raises:
        ModelFormatError: It is none, or an item is of another kind.
    """
    return [expect(item, kind, where) for item in expect(value, list, where)]


def _shown(value: object) -> str:
    if isinstance(value, (dict, list)):
        return "object" if isinstance(value, dict) else "list"
    return json.dumps(value)[:80]
