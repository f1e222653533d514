"""A temporary copy of bytes that can be read only once, as some containers can only be read with seeks."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from ifw.audio.assignment import Assignment
from ifw.audio.decoder_process import launch_fresh
from ifw.errors import AudioError, AudioFormatError, AudioTooLongError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

PROBE_BYTES = 32 << 20  # tags and pictures before the sound are smaller than this


class Spool:
    """A file without a name, which is gone when its last descriptor is closed.

    Args:
        name: What messages call the source.

    Raises:
        AudioError: There is no place for it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._n_bytes = 0
        self._is_probed = False
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `__exit__`
        except OSError as error:
            raise AudioError(f"{name}: no place for a temporary copy: {error}") from error

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Append bytes.

        Raises:
            AudioError: There is no room.
        """
        try:
            self._file.write(piece)
        except OSError as error:
            raise self._no_room(error) from error
        self._n_bytes += len(piece)

    def write_streamed(self, piece: bytes | bytearray | memoryview, max_bytes: int) -> None:
        """Append bytes of a stream that may never end, and give up on it as soon as it is hopeless.

        Raises:
            AudioTooLongError: That makes more than `max_bytes`.
            AudioFormatError: The first `PROBE_BYTES` are no container on the allow-list.
            AudioError: There is no room.
        """
        if self._n_bytes + len(piece) > max_bytes:
            raise AudioTooLongError(
                f"{self._name}: the stream gives more than {max_bytes} bytes, allowed: max_stream_bytes = {max_bytes}; "
                "write it to a file, of which any size is read"
            )
        self.write(piece)
        if self._n_bytes >= PROBE_BYTES and not self._is_probed:
            self._is_probed = True
            self._probe()

    def descriptor(self) -> int:
        """A descriptor of its own for all that was written.

        Raises:
            AudioError: There is no room.
        """
        try:
            self._file.flush()
        except OSError as error:
            raise self._no_room(error) from error
        return os.dup(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:  # a full disk again, which was reported
            if error is None:
                raise

    def _probe(self) -> None:
        """Let a decoder look at what is there. Only an unknown format is beyond what more bytes could mend."""
        descriptor = self.descriptor()
        try:
            worker = launch_fresh(descriptor, Assignment())
            try:
                worker.receive()
            finally:
                worker.close()
        except AudioFormatError as error:
            raise AudioFormatError(f"{self._name}: {error}") from error
        except AudioError:
            return
        finally:
            os.close(descriptor)

    def _no_room(self, error: OSError) -> AudioError:
        return AudioError(f"{self._name}: no room for a temporary copy in {tempfile.gettempdir()}: {error}")
