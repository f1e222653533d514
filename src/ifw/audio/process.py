"""One decoder process, seen from the caller's side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ifw.audio.wire import Kind, read_message, unpack_error
from ifw.errors import AudioDamagedError, AudioError

if TYPE_CHECKING:
    from ifw.audio.assignment import Assignment

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_START = "import sys; sys.path[:] = sys.argv[1:-1]; from ifw.audio.worker import main; main()"
_ERRORS: dict[str, type[AudioError]] = {AudioError.code: AudioError}
_ERRORS |= {kind.code: kind for kind in AudioError.__subclasses__()}


class DecoderProcess:
    """A started worker; its messages are read in order."""

    def __init__(self, descriptor: int, assignment: Assignment) -> None:
        """Start a fresh interpreter; nothing of the caller's memory, threads or main module goes along.

        Args:
            descriptor: The file, read by position.
            assignment: What to decode of it.

        Raises:
            AudioError: The process cannot be started.
        """
        # Isolated mode, and the caller's import path without the current folder, where anybody may put an `av.py`.
        path = [os.path.abspath(entry) for entry in map(str, sys.path) if entry] + [_PACKAGE_ROOT]
        command = [sys.executable, "-I", "-c", _START, *path, assignment.to_json()]
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own arguments
                command, stdin=descriptor, stdout=subprocess.PIPE, stderr=self._complaints
            )
        except OSError as error:
            self._complaints.close()
            raise AudioError(f"the decoder process cannot be started: {error}") from error

    def receive(self) -> tuple[Kind, bytes]:
        """Wait for the next message.

        Raises:
            AudioError: The worker reports an error, or died.
        """
        assert self._process.stdout is not None
        message = read_message(self._process.stdout)
        if message is None:
            raise self._died()
        if message[0] is Kind.ERROR:
            code, text = unpack_error(message[1])
            raise _ERRORS[code](text)
        return message

    def kill(self) -> None:
        """End the worker at once. Another thread's `receive` then raises."""
        self._process.kill()

    def close(self) -> None:
        """Kill the worker, collect its exit status and close its pipes. Not while another thread receives."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._complaints.close()

    def _died(self) -> AudioError:
        status = self._process.wait()
        if status < 0:
            return AudioDamagedError(
                f"the decoder process was ended by {signal.Signals(-status).name}: "
                "the file made it crash, or the system ran out of memory"
            )
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return AudioError(f"the decoder process failed: {lines[-1] if lines else f'exit status {status}'}")
