"""Names as a terminal may show them: a file name may hold line ends and commands to the terminal."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""Write every character that is not for printing as an escape sequence of Python, such as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
