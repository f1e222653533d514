"""What was wrong with a body, in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

_PLAINLY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "extra_forbidden": "there is no such field; /docs lists those that there are",
        "missing": "is missing",
        "model_attributes_type": "allowed: a JSON object",
        "model_type": "allowed: a JSON object",
        "dict_type": "allowed: a JSON object",
        "list_type": "allowed: a JSON list",
        "tuple_type": "allowed: a JSON list",
    }
)
"""What pydantic calls an error -> what a client is told."""


def complaints(errors: Iterable[Any]) -> list[str]:
    """One line a field, without the value, which may be long or secret."""
    lines = []
    for error in errors:
        where = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path", "header"))
        message = _PLAINLY.get(error["type"]) or error["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {message}" if where else message)
    return lines
