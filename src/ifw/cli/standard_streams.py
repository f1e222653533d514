"""Standard output and error as they may really be: closed, a full disk, a reader that has gone."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from ifw.errors import OutputError


def open_closed_streams() -> None:
    """Take the places of closed standard streams, so that no file that is opened later gets their number.

    What is written to a closed standard error is dropped, what is written to a closed standard output is an error.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115 - a standard stream
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may be no text, a terminal not know a letter


def write_output(text: str) -> None:
    """Write to standard output at once.

    Raises:
        OutputError: It cannot be written.
        BrokenPipeError: Nobody reads any more, as after `| head`.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise output_error(error) from error


def write_note(text: str) -> None:
    """Write to standard error, if that can be: no work ends because nobody hears of it."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def output_error(error: OSError) -> OSError | OutputError:
    """What to raise for standard output that could not be written; what is left of it is dropped."""
    if error.errno == errno.EPIPE:
        return error
    _drop(sys.stdout)
    return OutputError(f"cannot write to standard output: {error.strerror or error}")


def _drop(stream: TextIO) -> None:
    """Let what is still in the buffer, which Python writes once more at its end, go nowhere."""
    with suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
