"""One decoder process, seen from the caller's side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from ifw.audio.wire import Kind, read_message, unpack_error
from ifw.errors import AudioDamagedError, AudioError

if TYPE_CHECKING:
    from ifw.audio.assignment import Assignment

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_ERRORS: dict[str, type[AudioError]] = {AudioError.code: AudioError}
_ERRORS |= {kind.code: kind for kind in AudioError.__subclasses__()}


class Child(Protocol):
    """A process that was started, however that was done."""

    @property
    def pid(self) -> int:
        """Its id, which is another process' some time after its end."""
        ...

    @property
    def output(self) -> IO[bytes]:
        """What it writes; whoever reads it closes it."""
        ...

    def kill(self) -> None:
        """End it at once; harmless after its end, and from any thread."""
        ...

    def wait(self) -> int | None:
        """Wait for its end: its exit status, or the number of its signal, negative; None where nobody knows."""
        ...


class DecoderProcess:
    """A started worker; its messages are read in order.

    Args:
        child: The process.
        complaints: What it writes to its standard error.

    Attributes:
        pid: Its id.
    """

    def __init__(self, child: Child, complaints: IO[bytes]) -> None:
        self.pid = child.pid
        self._child = child
        self._complaints = complaints

    def receive(self) -> tuple[Kind, bytes]:
        """Wait for the next message.

        Raises:
            AudioError: The worker reports an error, or died.
        """
        message = read_message(self._child.output)
        if message is None:
            raise self._died()
        if message[0] is Kind.ERROR:
            code, text = unpack_error(message[1])
            raise _ERRORS[code](text)
        return message

    def kill(self) -> None:
        """End the worker at once. Another thread's `receive` then raises."""
        self._child.kill()

    def close(self) -> None:
        """Kill the worker, collect its exit status and close its pipes. Not while another thread receives."""
        self._child.kill()
        self._child.wait()
        self._child.output.close()
        self._complaints.close()

    def _died(self) -> AudioError:
        status = self._child.wait()
        if status is not None and status < 0:
            return AudioDamagedError(
                f"the decoder process was ended by {signal.Signals(-status).name}: "
                "the file made it crash, or the system ran out of memory"
            )
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return AudioError(f"the decoder process failed: {lines[-1] if lines else f'exit status {status}'}")


Launch = Callable[[int, "Assignment"], DecoderProcess]
"""Starts a worker: the descriptor of the file, read by position, and what to decode of it."""


def launch_fresh(descriptor: int, assignment: Assignment) -> DecoderProcess:
    """Start a worker in an interpreter of its own, which takes a tenth of a second.

    Args:
        descriptor: The file, read by position.
        assignment: What to decode of it.

    Raises:
        AudioError: The process cannot be started.
    """
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the process
    try:
        command = isolated_python("from ifw.audio.decoder_main import main; main()", [assignment.to_json()])
        return DecoderProcess(_FreshChild(command, descriptor, complaints), complaints)
    except OSError as error:
        complaints.close()
        raise AudioError(f"the decoder process cannot be started: {error}") from error


def isolated_python(code: str, arguments: Sequence[str]) -> list[str]:
    """A command that runs code in a fresh interpreter; nothing of the caller's main module goes along.

    It has the caller's import path without the current folder, where anybody may put an `av.py`.

    Args:
        code: What to run.
        arguments: Its `sys.argv`, from 1 on.
    """
    path = [os.path.abspath(entry) for entry in map(str, sys.path) if entry] + [_PACKAGE_ROOT]
    start = f"import sys; n = int(sys.argv[1]) + 2; sys.path[:] = sys.argv[2:n]; del sys.argv[1:n]; {code}"
    return [sys.executable, "-I", "-c", start, str(len(path)), *path, *arguments]


class _FreshChild:
    """A child of this process."""

    def __init__(self, command: Sequence[str], descriptor: int, complaints: IO[bytes]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own arguments
            command, stdin=descriptor, stdout=subprocess.PIPE, stderr=complaints
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int | None:
        return self._process.wait()
