"""File names from the network, made safe."""

from __future__ import annotations

from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any, Final

MAX_NAME_BYTES: Final = 150  # leaves room for the extensions of outputs within the 255 of file systems
_REFUSED: Final = frozenset('<>:"|?*')
_RESERVED: Final = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)))
)


def file_name(text: str) -> str:
    """The last part of a path as a plain visible file name; empty where nothing is left.

    What no file system takes, or what a terminal would act on, becomes `_`.
    """
    last = text.replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = "".join("_" if letter in _REFUSED or not letter.isprintable() else letter for letter in last)
    name = _cut(name.strip(" .").lstrip("-"))
    return f"_{name}" if name.partition(".")[0].lower() in _RESERVED else name


def disposition_name(header: str) -> str:
    """The file name in a Content-Disposition header (RFC 6266), made safe; empty where it has none."""
    message = Message()
    message["content-disposition"] = header
    params = message.get_params([], header="content-disposition")
    names: list[Any] = [value for key, value in params if key.lower() == "filename"]
    extended = next((value for value in names if isinstance(value, tuple)), None)  # filename* goes before filename
    return file_name(collapse_rfc2231_value(extended or names[0])) if names else ""


def _cut(name: str) -> str:
    """Shorten the stem, not the extension."""
    if len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    tail = f"{dot}{suffix}" if dot and len(suffix) <= 10 else ""
    room = MAX_NAME_BYTES - len(tail.encode("utf-8", "replace"))
    return (stem if tail else name).encode("utf-8", "replace")[:room].decode("utf-8", "ignore").strip(" .") + tail
