"""From the fields of a form to the values of a body: forms know only text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, get_args

from pydantic import BaseModel

from ifw.errors import RequestError

_NESTED: Final = re.compile(r"([^\[\].]+)(?:\[([^\[\]]+)\]|\.([^\[\].]+))")


def values_of(fields: Iterable[tuple[str, str]], model: type[BaseModel]) -> dict[str, Any]:
    """Turn the fields of a form into what `model` is validated from.

    Text stays text. Everything else is read as JSON where it is some (`true`, `1.5`, `[0, 0.2]`, `{"url": ...}`) and
    left to the model where not. A list may also be given by repeating its name, with or without `[]` behind it, and a
    part of an object as `webhook[url]` or `webhook.url`. An empty field counts as left out, as browsers send those.

    Args:
        fields: Names and values.
        model: Says which of them are text.

    Raises:
        RequestError: A field that is no list comes twice.
    """
    values: dict[str, Any] = {}
    for name, text in fields:
        if text == "":
            continue
        nested = _NESTED.fullmatch(name)
        if nested is not None:
            outer, inner = nested[1], nested[2] or nested[3]
            kind = _kind(model, outer)
            is_text = isinstance(kind, type) and issubclass(kind, BaseModel) and _kind(kind, inner) is str
            parts = values.setdefault(outer, {})
            if not isinstance(parts, dict) or inner in parts:
                raise RequestError(f"{name[:80]}: was given twice")
            parts[inner] = text if is_text else _read(text)
            continue
        is_list_item = name.endswith("[]")
        key = name.removesuffix("[]")
        value = text if _kind(model, key) is str else _read(text)
        if _kind(model, key) is not list:
            if key in values:
                raise RequestError(f"{name[:80]}: was given twice")
            values[key] = value
        elif key in values:
            values[key] = [*values[key], value]
        else:
            values[key] = value if isinstance(value, list) and not is_list_item else [value]
    return values


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text


def _kind(model: type[BaseModel], name: str) -> Any:
    """What a field is made of: `str`, `list`, a model, or something else; None for a name that is not known."""
    field = model.model_fields.get(name)
    if field is None:
        return None
    annotation = field.annotation
    inner = [one for one in get_args(annotation) if one is not type(None)]
    if annotation is str or isinstance(annotation, type):
        return annotation
    kind = inner[0] if len(inner) == 1 else annotation
    return list if getattr(kind, "__origin__", None) is list else kind
